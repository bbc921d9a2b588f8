// Tasks by name: the table of what can be scored. A task is prepared once (tokenizer and model spec
// are enough, no weights) and then run as often as there are models: littlebit-eval runs it once,
// training runs it on the teacher and on the student as it goes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "littlebit/eval/batch_sharing.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/eval/options.h"
#include "littlebit/eval/results.h"
#include "littlebit/models/decoder.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// Takes a line of samples.jsonl: a scored document, or chunk, of a task that has such.
using SampleSink = std::function<void(const Json&)>;

// A task ready to run: its data read and tokenised, its lengths settled.
class EvalTask {
 public:
  virtual ~EvalTask() = default;

  // Scores `decoder`, whose spec is the one the task was prepared for, with a progress line.
  // `samples` may be empty. `teacher`, in all processes or none: perplexities of chunks come with
  // the divergence from it. The result does not depend on the batch size beyond rounding, nor on
  // the number of processes; all of them have it. Collective among those of `sharing`. Errors:
  // NumericsError where scores are not finite, Error kStopped where a stop was requested.
  virtual TaskResult run(const Decoder& decoder, const SampleSink& samples,
                         const BatchSharing& sharing = BatchSharing(),
                         const Decoder* teacher = nullptr) const = 0;

  // What it was prepared from: its data, and its task file where that is one of the user's.
  virtual std::vector<std::filesystem::path> files() const = 0;
};

// What tasks are prepared from. References: the task keeps copies of what it needs.
struct TaskInput {
  const EvalOptions& options;
  const Tokenizer& tokenizer;
  const ModelSpec& spec;
};

// Names that EvalOptions::tasks may hold, in the order of help texts.
std::vector<std::string> evaluation_tasks();

// A task that options name: the choices of its file, or none where it is a perplexity.
struct NamedTask {
  std::string name;
  std::optional<ChoiceTask> choices;
};

// The tasks of options.tasks in order, each name once; then, where eval.text is given and no task
// named reads it, the task `text`. Reads task files, and no data. UsageError naming an unknown
// task, the nearest name and all of them; one that needs eval.text; check_amounts; examples where
// no task takes any; a task file that is wrong (load_choice_task).
std::vector<NamedTask> read_tasks(const EvalOptions& options);

// Whether anything is to be scored.
bool any_tasks(const EvalOptions& options);

// Whether a task to be scored has the divergence from a teacher: perplexities of chunks do.
bool has_divergence(const EvalOptions& options);

// These tasks, of input.options, with their data. InputError naming the data that is missing and
// where people get it; UsageError where tokenizer and model do not belong together or the model has
// learned fewer positions than a sequence is long.
std::vector<std::unique_ptr<EvalTask>> prepare_tasks(const std::vector<NamedTask>& tasks,
                                                     const TaskInput& input);

// Tokens per sequence: options.sequence_length, or min(2048, the model's maximum). UsageError where
// the model learned fewer positions; a warning where it was made for fewer.
int64_t sequence_length(const EvalOptions& options, const ModelSpec& spec);

}  // namespace littlebit
