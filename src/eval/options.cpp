// The one declaration of the options of sections `eval` and `model`: names, ranges, help.
#include "littlebit/eval/options.h"

#include <charconv>
#include <cmath>

#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/tasks.h"

namespace littlebit {
namespace {

constexpr int64_t kMaxSequences = 1 << 20;
constexpr double kMaxDocuments = 0x1p53;  // whole numbers are exact up to here

}  // namespace

void EvalOptions::declare(OptionGroup& group) {
  group.texts("tasks", &tasks, "Tasks to score: " + join(evaluation_tasks(), ", "));
  group.path("text", &text,
             "A text or jsonl file of your own, scored as the task `text`, or as `rolling` where "
             "eval.tasks names that");
  group.text("text_field", &text_field, "The field of eval.text's records that holds the text");
  group.path("data_root", &data_root,
             "Where the tasks' data lies: DATA_ROOT/<task>/ or DATA_ROOT/ itself");
  group.path("task_folder", &task_folder,
             "Multiple-choice tasks of your own: a folder of <task>.yaml (docs/evaluation.md)");
  group.integer("sequence_length", &sequence_length, {.min = 0, .max = 1 << 24},
                "Tokens per sequence; 0: 2048, or the model's maximum where that is less (for "
                "multiple-choice tasks: the model's maximum)");
  group.number("limit", &limit, {.min = 0},
               "Score only the first N chunks of a text, or documents of a task; a number below 1: "
               "that fraction of them; 0: all");
  group.text("batch_size", &batch_size,
             "Sequences per forward pass; 0: about 4096 tokens; auto: what fits the memory");
  group.integer("num_fewshot", &num_fewshot, {.min = 0, .max = 1000},
                "Solved examples in front of a document of multiple-choice tasks, drawn as "
                "lm-evaluation-harness draws them");
}

int64_t limited(double limit, int64_t count) {
  if (limit == 0) return count;
  const double wanted = limit < 1 ? std::ceil(static_cast<double>(count) * limit) : limit;
  return wanted < static_cast<double>(count) ? static_cast<int64_t>(wanted) : count;
}

void check_amounts(const EvalOptions& options) {
  if (options.limit > 1 &&
      (options.limit != std::floor(options.limit) || options.limit > kMaxDocuments)) {
    throw UsageError("eval.limit " + format_digits(options.limit, 12) +
                         " is neither a fraction of the documents nor a number of them",
                     "give a whole number, or one below 1: 0.1 takes a tenth");
  }
  const std::string& batch = options.batch_size;
  int64_t sequences = -1;
  const auto parsed = std::from_chars(batch.data(), batch.data() + batch.size(), sequences);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == batch.data() + batch.size();
  if (batch == kAutoBatch || (is_number && sequences >= 0 && sequences <= kMaxSequences)) return;
  throw UsageError("eval.batch_size '" + batch + "' is not a number of sequences",
                   "give a number up to " + format_count(kMaxSequences) +
                       ", 0 for about 4096 tokens, or auto for what fits the memory");
}

void ComputeOptions::declare(OptionGroup& group) {
  group.choice("dtype", &dtype, {"fp32", "bf16"}, "Type of the matrix products", {},
               FloatKind::kFp32);
  group.choice("device", &device, {"auto", "cpu", "cuda"},
               "Where to compute; auto: the GPU where one can be used");
  group.integer("threads", &threads, {.min = 0, .max = 4096},
                "Threads to compute with; 0: every core this process may use");
}

void EvalRunOptions::declare(OptionGroup& group) {
  ComputeOptions::declare(group);
  group.path("output", &output, "Write the scores to this file (results.json)");
  group.path("samples", &samples,
             "Write the scores of each document of multiple-choice tasks, and of each chunk of a "
             "perplexity, to this file (jsonl)");
  group.path("teacher", &teacher,
             "Folder of a model with the same vocabulary, dense or packed: perplexities of chunks "
             "come with kl, the mean KL divergence of the scored model from it");
}

void ModelOptions::declare(OptionGroup& group) {
  group.path("path", &path, "Folder of the model: config.json, safetensors, tokenizer files",
             {Decides::kRunResolved});
}

}  // namespace littlebit
