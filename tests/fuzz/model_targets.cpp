// The targets that need LibTorch: what describes models and training states.
#include <ATen/core/Tensor.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "fuzz/scratch.h"
#include "fuzz/targets.h"
#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/checkpoint/save.h"
#include "littlebit/core/read_file.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/export/packed.h"
#include "littlebit/io/json.h"
#include "littlebit/models/architectures.h"
#include "support/paths.h"
#include "support/tiny_student.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kWords = {
    "{",     "}",   "[",  "]",       ",",       ":",       "\"",       "null",
    "true",  "{}",  "[]", "\"\"",    "\"a\"",   "false",   "-1",       "0",
    "1e308", "0.5", "64", "\\u0000", "\"F32\"", "\"ste\"", "\"llama\""};

// --- config.json ---

std::vector<std::string> golden_configs() {
  const fs::path models = fs::path(kSourceDir) / "tests" / "golden" / "models";
  std::vector<std::string> texts;
  for (const char* name : {"llama31_rope", "phi4_mini_short", "gemma3", "opt_350m", "qwen3"}) {
    texts.push_back(read_file(models / name / "config.json"));
  }
  return texts;
}

bool run_config(std::string_view bytes) {
  return accepts([&] {
    const ModelSpec spec = parse_model_spec(parse_json(bytes, "config.json"));
    if (spec.num_layers < 1 || spec.hidden_size < 1 || spec.vocab_size < 1) {
      finding("a model without layers, width or words");
    }
    if (spec.num_layers <= 64) empty_decoder(spec, at::kFloat, at::kCPU);  // allocates no weights
  });
}

// --- a training state ---

struct State {
  std::unique_ptr<TinyStudent> tiny;
  std::unique_ptr<Optimizer> optimizer;
  fs::path teacher, checkpoint, packed;

  State() : teacher(scratch() / "teacher"), packed(scratch() / "packed") {
    fs::create_directories(teacher);
    write_tiny_llama(teacher, {.vocabulary = 8,
                               .hidden = 16,
                               .intermediate = 16,
                               .layers = 1,
                               .heads = 2,
                               .kv_heads = 1});
    tiny = std::make_unique<TinyStudent>(teacher, /*residual=*/false);
    optimizer = std::make_unique<Optimizer>(*tiny->student, OptimOptions{}, Surrogate::kSmoothSign);
    checkpoint = save_checkpoint(scratch(), *optimizer, {.step = 3, .tokens = 48},
                                 {{"train.seed", "42"}, {"optim.beta1", "0.9"}});
    export_packed(packed, *tiny->student, tiny->plans, tiny->options, tiny->files);
  }
};

State& state() {
  static State the_state;
  return the_state;
}

bool run_manifest(std::string_view bytes) {
  put(state().checkpoint / "manifest.json", bytes);
  return accepts([&] {
    const Checkpoint read = read_checkpoint(state().checkpoint);
    if (read.position.step < 0 || read.position.tokens < 0) finding("a negative position");
    load_checkpoint(read, *state().optimizer);
  });
}

// --- the configuration of a packed folder ---

// Two files in one: littlebit_config.json in front of a NUL, config.json behind it.
bool run_packed(std::string_view bytes) {
  const size_t border = std::min(bytes.find('\0'), bytes.size());
  put(state().packed / "littlebit_config.json", bytes.substr(0, border));
  put(state().packed / "config.json", bytes.substr(std::min(border + 1, bytes.size())));
  return accepts([&] {
    HfFolder folder(state().packed);
    folder.open_tensors();
    if (is_packed_folder(folder)) load_packed(folder, at::kFloat, at::kCPU);
  });
}

}  // namespace

std::vector<FuzzTarget> model_targets() {
  return {
      {"config", golden_configs(), kWords, run_config},
      {"manifest", {read_file(state().checkpoint / "manifest.json")}, kWords, run_manifest},
      {"packed",
       {read_file(state().packed / "littlebit_config.json") + std::string(1, '\0') +
        read_file(state().packed / "config.json")},
       kWords,
       run_packed},
  };
}

}  // namespace littlebit::test
