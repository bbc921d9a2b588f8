// The one declaration of the options of sections `eval` and `model`: names, ranges, help.
#include "littlebit/eval/options.h"

#include "littlebit/config/option_tree.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/tasks.h"

namespace littlebit {

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
  group.integer("limit", &limit, {.min = 0},
                "Score only the first N chunks of a text, or documents of a task; 0: all");
  group.integer("batch_size", &batch_size, {.min = 0, .max = 1 << 20},
                "Sequences per forward pass; 0: about 4096 tokens");
}

void ComputeOptions::declare(OptionGroup& group) {
  group.choice("dtype", &dtype, {"fp32", "bf16"}, "Type of the matrix products");
  group.choice("device", &device, {"auto", "cpu", "cuda"},
               "Where to compute; auto: the GPU where one can be used");
  group.integer("threads", &threads, {.min = 0, .max = 4096},
                "Threads to compute with; 0: every core this process may use");
}

void EvalRunOptions::declare(OptionGroup& group) {
  ComputeOptions::declare(group);
  group.path("output", &output, "Write the scores to this file (results.json)");
  group.path("samples", &samples,
             "Write the scores of each document of multiple-choice tasks to this file (jsonl)");
}

void ModelOptions::declare(OptionGroup& group) {
  group.path("path", &path, "Folder of the model: config.json, safetensors, tokenizer files",
             {Decides::kRunResolved});
}

}  // namespace littlebit
