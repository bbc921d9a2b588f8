// The table of tasks. A new task: its ids' loader and a row here.
#include "littlebit/eval/tasks.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

constexpr char kTextTask[] = "text";
constexpr int64_t kDefaultLength = 2048;

struct Task {
  const char* name;
  std::vector<int32_t> (*ids)(const std::filesystem::path& data_root, const Tokenizer& tokenizer);
};
constexpr Task kTasks[] = {
    {"wikitext2", wikitext2_ids},
};

const Task* find_task(const std::string& name) {
  for (const Task& task : kTasks) {
    if (name == task.name) return &task;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> evaluation_tasks() {
  std::vector<std::string> names;
  for (const Task& task : kTasks) names.emplace_back(task.name);
  return names;
}

void check_tasks(const EvalOptions& options) {
  const std::vector<std::string> known = evaluation_tasks();
  for (const std::string& name : options.tasks) {
    if (find_task(name) != nullptr) continue;
    if (name == kTextTask) {
      throw UsageError("task text needs a file", "give it with --text FILE (eval.text=FILE)");
    }
    const std::optional<std::string> near = nearest_name(name, known);
    throw UsageError("unknown task '" + name + "'", (near ? "did you mean '" + *near + "'? " : "") +
                                                        "known tasks: " + join(known, ", ") +
                                                        "; a text file of your own: --text FILE");
  }
}

std::vector<TaskText> load_task_texts(const EvalOptions& options, const Tokenizer& tokenizer) {
  check_tasks(options);
  std::vector<TaskText> texts;
  for (const std::string& name : options.tasks) {
    const auto same = [&](const TaskText& text) { return text.task == name; };
    if (std::any_of(texts.begin(), texts.end(), same)) continue;
    texts.push_back({name, find_task(name)->ids(options.data_root, tokenizer)});
  }
  if (!options.text.empty()) texts.push_back({kTextTask, text_ids(options.text, tokenizer)});
  return texts;
}

PerplexityOptions chunk_options(const EvalOptions& options, const ModelSpec& spec) {
  PerplexityOptions how{.sequence_length = options.sequence_length,
                        .limit = options.limit,
                        .batch_size = options.batch_size};
  if (how.sequence_length == 0) how.sequence_length = std::min(kDefaultLength, spec.max_positions);
  if (how.sequence_length < 2) {
    throw UsageError("a chunk of " + std::to_string(how.sequence_length) +
                         " token predicts nothing (eval.sequence_length)",
                     "give at least 2, or 0 for the default");
  }
  if (how.sequence_length > spec.max_positions) {
    const std::string what = "eval.sequence_length " + format_count(how.sequence_length) +
                             " is more than the model's " + format_count(spec.max_positions) +
                             " positions";
    if (spec.learned_positions) throw UsageError(what, "give at most that many");
    log_warning(what);
  }
  return how;
}

PerplexityResult score_text(const Decoder& decoder, const TaskText& text,
                            const PerplexityOptions& how) {
  const int64_t chunks = static_cast<int64_t>(text.ids.size()) / how.sequence_length;
  Progress progress(text.task, how.limit > 0 ? std::min(how.limit, chunks) : chunks, "chunks");
  return chunk_perplexity(decoder, text.ids, how,
                          [&](int64_t done, int64_t) { progress.update(done); });
}

}  // namespace littlebit
