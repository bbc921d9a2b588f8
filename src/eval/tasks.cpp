// The kinds of tasks, by name.
#include "littlebit/eval/tasks.h"

#include <algorithm>
#include <map>
#include <optional>

#include "choice_tasks.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/logging/console.h"
#include "perplexity_tasks.h"

namespace littlebit {
namespace {

constexpr int64_t kDefaultLength = 2048;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

[[noreturn]] void refuse_unknown(const std::string& name, const std::vector<std::string>& known) {
  const std::optional<std::string> near = nearest_name(name, known);
  throw UsageError("unknown task '" + name + "'",
                   (near ? "did you mean '" + *near + "'? " : "") + "known tasks: " +
                       join(known, ", ") + "; a text file of your own: --text FILE; a task file " +
                       "of your own: its path, ending in .yaml");
}

}  // namespace

std::vector<std::string> evaluation_tasks() {
  std::vector<std::string> names = perplexity_tasks();
  for (const std::string& name : builtin_choice_tasks()) names.push_back(name);
  return names;
}

std::vector<NamedTask> read_tasks(const EvalOptions& options) {
  check_amounts(options);
  std::vector<std::string> known = perplexity_tasks();
  for (const std::string& name : choice_task_names(options.task_folder)) known.push_back(name);
  std::vector<NamedTask> tasks;
  bool reads_text = false, any_choice = false;
  std::map<std::string, std::string> titles;  // what the results call a task, what asked for it
  for (const std::string& name : options.tasks) {
    const bool is_again = std::any_of(tasks.begin(), tasks.end(),
                                      [&](const NamedTask& task) { return task.name == name; });
    if (is_again) continue;
    if (name == kTextTask && options.text.empty()) {
      throw UsageError("task text needs a file", "give it with --text FILE (eval.text=FILE)");
    }
    NamedTask task{name, std::nullopt};
    if (!contains(perplexity_tasks(), name) && name != kTextTask) {
      if (!is_choice_task(name, options.task_folder)) refuse_unknown(name, known);
      task.choices = load_choice_task(name, options.task_folder);
      any_choice = true;
    }
    const auto [other, is_new] = titles.emplace(task.choices ? task.choices->name : name, name);
    if (!is_new) {
      throw UsageError("the tasks '" + other->second + "' and '" + name + "' have the same name",
                       "rename a task file, or score them in two runs");
    }
    reads_text = reads_text || name == kTextTask || name == kRollingTask;
    tasks.push_back(std::move(task));
  }
  if (options.num_fewshot > 0 && !any_choice) {
    throw UsageError(
        "eval.num_fewshot (--num-fewshot) is " + std::to_string(options.num_fewshot) +
            ", but none of the tasks takes examples",
        "perplexity tasks use no examples; name a multiple-choice task, such as boolq");
  }
  if (!options.text.empty() && !reads_text) tasks.push_back({kTextTask, std::nullopt});
  return tasks;
}

bool any_tasks(const EvalOptions& options) {
  return !options.tasks.empty() || !options.text.empty();
}

bool has_divergence(const EvalOptions& options) {
  return std::any_of(options.tasks.begin(), options.tasks.end(), is_chunked) ||
         (!options.text.empty() && !contains(options.tasks, kRollingTask));
}

std::vector<std::unique_ptr<EvalTask>> prepare_tasks(const std::vector<NamedTask>& tasks,
                                                     const TaskInput& input) {
  check_vocabulary(input.tokenizer, input.spec.vocab_size);
  std::vector<std::unique_ptr<EvalTask>> prepared;
  for (const NamedTask& task : tasks) {
    prepared.push_back(task.choices ? prepare_choices(*task.choices, input)
                                    : prepare_perplexity(task.name, input));
  }
  return prepared;
}

int64_t sequence_length(const EvalOptions& options, const ModelSpec& spec) {
  if (options.sequence_length == 0) return std::min(kDefaultLength, spec.max_positions);
  const int64_t length = options.sequence_length;
  if (length < 2) {
    throw UsageError("a sequence of " + std::to_string(length) +
                         " token predicts nothing (eval.sequence_length)",
                     "give at least 2, or 0 for the default");
  }
  if (length > spec.max_positions) {
    const std::string what = "eval.sequence_length " + format_count(length) +
                             " is more than the model's " + format_count(spec.max_positions) +
                             " positions";
    if (spec.learned_positions) throw UsageError(what, "give at most that many");
    log_warning(what);
  }
  return length;
}

}  // namespace littlebit
