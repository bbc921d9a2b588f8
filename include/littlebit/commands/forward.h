// `littlebit-eval forward`: one forward pass over given ids (models/forward.h).
#pragma once

#include <cstdint>
#include <filesystem>

#include "littlebit/eval/options.h"

namespace littlebit {

struct ForwardOptions {
  std::filesystem::path model, input, output;
  bool hidden_states = false;
  FloatKind dtype = FloatKind::kFp32;
  DeviceKind device = DeviceKind::kAuto;
  int64_t threads = 0;
};

// Tensor `input_ids` [B, T] of one safetensors file -> `logits`, `final_hidden` and, if asked for,
// `hidden_states` in another, all fp32. Needs no tokenizer. Returns the exit code, or throws Error.
int run_forward(const ForwardOptions& options);

}  // namespace littlebit
