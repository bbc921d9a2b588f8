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

// The tasks to prepare, each name once.
std::vector<std::string> wanted_tasks(const EvalOptions& options) {
  std::vector<std::string> names;
  for (const std::string& name : options.tasks) {
    if (!contains(names, name)) names.push_back(name);
  }
  const bool read = contains(names, kTextTask) || contains(names, kRollingTask);
  if (!options.text.empty() && !read) names.emplace_back(kTextTask);
  return names;
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

void check_tasks(const EvalOptions& options) {
  check_amounts(options);
  std::vector<std::string> known = perplexity_tasks();
  for (const std::string& name : choice_task_names(options.task_folder)) known.push_back(name);
  bool any_choice = false;
  std::map<std::string, std::string> titles;  // what the results call a task, what asked for it
  for (const std::string& name : options.tasks) {
    if (name == kTextTask && options.text.empty()) {
      throw UsageError("task text needs a file", "give it with --text FILE (eval.text=FILE)");
    }
    std::string title = name;
    if (!contains(perplexity_tasks(), name) && name != kTextTask) {
      if (!is_choice_task(name, options.task_folder)) refuse_unknown(name, known);
      title = load_choice_task(name, options.task_folder).name;
      any_choice = true;
    }
    const auto [other, is_new] = titles.emplace(title, name);
    if (is_new || other->second == name) continue;
    throw UsageError("the tasks '" + other->second + "' and '" + name + "' have the same name",
                     "rename a task file, or score them in two runs");
  }
  if (options.num_fewshot > 0 && !any_choice) {
    throw UsageError(
        "eval.num_fewshot (--num-fewshot) is " + std::to_string(options.num_fewshot) +
            ", but none of the tasks takes examples",
        "perplexity tasks use no examples; name a multiple-choice task, such as boolq");
  }
}

bool any_tasks(const EvalOptions& options) {
  return !options.tasks.empty() || !options.text.empty();
}

std::vector<std::unique_ptr<EvalTask>> prepare_tasks(const TaskInput& input) {
  check_tasks(input.options);
  check_vocabulary(input.tokenizer, input.spec.vocab_size);
  std::vector<std::unique_ptr<EvalTask>> tasks;
  for (const std::string& name : wanted_tasks(input.options)) {
    auto task = prepare_perplexity(name, input);
    tasks.push_back(task != nullptr ? std::move(task) : prepare_choices(name, input));
  }
  return tasks;
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
