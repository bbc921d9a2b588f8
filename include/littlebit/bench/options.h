// What littlebit-bench measures: the options of its sections, declared in the option tree like
// those of the other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/kinds.h"
#include "littlebit/distill/step.h"
#include "littlebit/optim/options.h"

namespace littlebit {

// Section `bench`.
struct BenchRunOptions {
  DeviceKind device = DeviceKind::kAuto;
  int64_t threads = 0;  // 0: every core this process may use
  int64_t repeats = 5;  // timed runs of everything that is timed; the median counts
  std::filesystem::path output;
  void declare(OptionGroup& group);
};

// Section `stack`: the made Llama that `step`, `dense` and `generate` run.
struct StackOptions {
  int64_t hidden_size = 512, intermediate_size = 1376, heads = 8, kv_heads = 8, vocabulary = 4096;
  int64_t blocks = 8;  // of the whole model: what is extrapolated to, what generates
  FloatKind dtype = FloatKind::kAuto;  // auto: bf16 on GPUs, fp32 on CPUs
  void declare(OptionGroup& group);
};

// One training step of list `step`. The levers are the training options of the same names.
struct StepRun {
  double bits = 0.55;
  int64_t blocks = 8, micro_batch_size = 4, micro_batches = 1, sequence_length = 512;
  StateDevice state_device = StateDevice::kDevice;
  MomentType moments = MomentType::kFp32;
  bool streams_teacher = false;  // from a file made for it, below the system's temporary folder
  KeptInputs inputs;
  void declare(OptionGroup& group);
  std::string levers() const;  // those that are not the default, in words; "none"
};

// One list of each case that has one.
struct CaseOptions {
  std::vector<StepRun> steps = {{}};
  std::vector<StepRun> dense = {{}};                     // bits and micro_batches are not looked at
  std::vector<std::string> bits = {"1", "0.55", "0.1"};  // of `layers` and `generate`
  std::vector<std::string> rows = {"1", "8", "64", "2048"};                // of `layers`
  std::vector<std::string> shapes = {"576x576", "1536x576", "4096x4096"};  // of `layers`, `svd`
  std::vector<std::string> operations;  // of `operations`, without "littlebit::"; empty: all
  int64_t svd_rank = 0;                 // 0: an eighth of the shorter side
  int64_t new_tokens = 32;              // of `generate`
  std::filesystem::path golden;         // of `golden`: folders with model and expected.safetensors
  std::filesystem::path matrices;       // of `svd`: a safetensors file instead of made matrices
  std::filesystem::path tokenizer, text;  // of `tokenizer`
  void declare(OptionGroup& group);
};

struct BenchOptions {
  BenchRunOptions run;
  StackOptions stack;
  CaseOptions cases;
  void declare(OptionTree& tree);
};

// `text`, an item of the option `key`, as a number. UsageError where it is none, or not above 0.
double positive_number(const std::string& key, const std::string& text);

// An item of case.shapes, "OUTxIN". UsageError where it is none.
struct MatrixShape {
  int64_t rows = 0, columns = 0;
};
MatrixShape matrix_shape(const std::string& text);

}  // namespace littlebit
