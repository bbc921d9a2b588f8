// What is scored, and how (section `eval`); shared by littlebit-eval and the scores taken during
// training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/core/kinds.h"

namespace littlebit {

class OptionGroup;

struct EvalOptions {
  std::vector<std::string> tasks;            // names of evaluation_tasks()
  std::filesystem::path text;                // a text file of one's own: tasks "text", "rolling"
  std::string text_field = "text";           // of its records, where it is jsonl
  std::filesystem::path data_root = "data";  // where the tasks' data lies
  std::filesystem::path task_folder;         // multiple-choice tasks of one's own, NAME.yaml
  int64_t sequence_length = 0;               // 0: min(2048, the model's maximum)
  double limit = 0;              // chunks of a text, documents of a task; below 1 a share; 0: all
  std::string batch_size = "0";  // sequences per forward pass, or auto; 0: about 4096 tokens
  int64_t num_fewshot = 0;       // examples in front of a document of a task
  void declare(OptionGroup& group);
};

// How many of `count` chunks or documents eval.limit leaves: of a share the number rounded up, as
// lm-evaluation-harness has it.
int64_t limited(double limit, int64_t count);

inline constexpr char kAutoBatch[] = "auto";  // eval.batch_size: what fits the memory

// UsageError: a limit that is neither a share nor a whole number, a batch size that is neither a
// number nor auto.
void check_amounts(const EvalOptions& options);

// The same section's options that only the program littlebit-eval has.

struct ComputeOptions {
  FloatKind dtype = FloatKind::kFp32;
  DeviceKind device = DeviceKind::kAuto;
  int64_t threads = 0;  // 0: every core this process may use
  void declare(OptionGroup& group);
};

struct EvalRunOptions : ComputeOptions {
  std::filesystem::path output;   // results.json; empty: none is written
  std::filesystem::path samples;  // a line per scored document or chunk; empty: none is written
  std::filesystem::path teacher;  // a model to take the divergence from; empty: none is taken
  void declare(OptionGroup& group);
};

// Section `model`.
struct ModelOptions {
  std::filesystem::path path;
  void declare(OptionGroup& group);
};

}  // namespace littlebit
