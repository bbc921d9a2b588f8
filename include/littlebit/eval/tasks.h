// Tasks by name: the table of what can be scored, their texts as token ids, one run of one task.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/eval/options.h"
#include "littlebit/eval/perplexity.h"
#include "littlebit/models/decoder.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// Names that EvalOptions::tasks may hold, in the order of help texts.
std::vector<std::string> evaluation_tasks();

// UsageError naming an unknown task, the nearest name and all of them.
void check_tasks(const EvalOptions& options);

// One task's text, tokenised: independent of the model's weights, made once for several runs.
struct TaskText {
  std::string task;
  std::vector<int32_t> ids;
};

// The texts of options.tasks (each name once), then that of options.text. Errors: check_tasks, and
// what the tasks' own loaders throw (perplexity.h).
std::vector<TaskText> load_task_texts(const EvalOptions& options, const Tokenizer& tokenizer);

// How texts are scored: options.limit and batch_size, and options.sequence_length or min(2048, the
// model's maximum). UsageError where the model learned fewer positions; a warning where it was made
// for fewer.
PerplexityOptions chunk_options(const EvalOptions& options, const ModelSpec& spec);

// Scores one text, with a progress line. Errors as chunk_perplexity.
PerplexityResult score_text(const Decoder& decoder, const TaskText& text,
                            const PerplexityOptions& how);

}  // namespace littlebit
