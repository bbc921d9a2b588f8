// Task files: found by name, read through the option tree, their templates checked.
#include "littlebit/eval/choice_task.h"

#include <algorithm>

#include "eval/builtin_tasks.h"
#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/error.h"
#include "littlebit/core/home.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr char kHint[] = "docs/evaluation.md says what a task file may hold";
constexpr char kChoice[] = "choice";
constexpr uint64_t kMaxFileBytes = 1 << 20;

struct MadeField {
  std::string name, value;
  void declare(OptionGroup& group) {
    group.text("name", &name, "The name by which later templates refer to it");
    group.text("value", &value, "Template");
  }
};

// A task file as it is written. Read by the same option tree as a run's configuration: unknown
// keys, wrong types and near names are reported as there.
struct TaskFile {
  struct Source {
    std::string file, split, hub;
    int64_t documents = 0;
    void declare(OptionGroup& group) {
      group.text("file", &file, "Name of the data's file, a JSON object per line");
      group.text("split", &split,
                 "Split of the data set that the file holds; the file may also have its name");
      group.text("hub", &hub, "Where to get the data");
      group.integer("documents", &documents, {.min = 0}, "How many there are; 0: unknown");
    }
  } source;
  struct Prompt {
    std::vector<MadeField> fields;
    std::string description, context, continuation = std::string("{") + kChoice + "}",
                                      delimiter = " ";
    std::vector<std::string> choices;
    void declare(OptionGroup& group) {
      group.records("fields", &fields, "name", "Texts made from a record, for templates below");
      group.text("description", &description, "Template of the text before everything else");
      group.text("context", &context, "Template of the text before a choice");
      group.texts("choices", &choices, "Templates of the choices");
      group.text("continuation", &continuation, "Template of what is scored");
      group.text("delimiter", &delimiter, "Between context and continuation");
    }
  } prompt;
  struct Answer {
    std::string gold;
    std::vector<std::string> labels;
    void declare(OptionGroup& group) {
      group.text("gold", &gold, "Template: the right choice's label, or its place from 0");
      group.texts("labels", &labels, "Templates of the choices' labels");
    }
  } answer;
  struct Examples {
    std::string file, split, common, delimiter;
    int64_t spare = 0;
    int sampler = 0;
    void declare(OptionGroup& group) {
      group.text("file", &file, "Name of their file; without it and split: the documents' own");
      group.text("split", &split,
                 "Split of the data set that the file holds; the file may also have its name");
      group.choice("sampler", &sampler, {"random", "first"}, "Which of them are taken");
      group.integer("spare", &spare, {.min = 0, .max = 1000}, "How many more are drawn than shown");
      group.text("group", &common, "Template: examples have the same text here as the document");
      group.text("delimiter", &delimiter, "Between context and continuation of an example");
    }
  } examples;
  struct Score {
    std::vector<std::string> metrics = {"acc"};
    bool compared = true;
    void declare(OptionGroup& group) {
      group.texts("metrics", &metrics, "acc, acc and acc_norm, or perplexity and acc");
      group.flag("compared", &compared, "Whether the numbers were compared with the harness's");
    }
  } score;

  void add_to(OptionTree& tree) {
    tree.add("source", "The data", source);
    tree.add("prompt", "From a record to texts", prompt);
    tree.add("answer", "The right choice", answer);
    tree.add("examples", "Solved documents in front", examples);
    tree.add("score", "What is computed", score);
  }
};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

TextTemplate make_template(OptionTree& tree, const std::string& key, const std::string& text) {
  try {
    return TextTemplate(text);
  } catch (const UsageError& error) {
    tree.add_error_at(key, error.what());
    return {};
  }
}

std::vector<TextTemplate> make_templates(OptionTree& tree, const std::string& key,
                                         const std::vector<std::string>& texts) {
  std::vector<TextTemplate> templates;
  for (const std::string& text : texts) templates.push_back(make_template(tree, key, text));
  return templates;
}

void check_metrics(OptionTree& tree, const std::vector<std::string>& metrics, bool partial) {
  const std::vector<std::string> known = {"acc", "acc_norm", "perplexity"};
  bool has_acc = false;
  for (const std::string& metric : metrics) {
    has_acc |= metric == "acc";
    if (std::find(known.begin(), known.end(), metric) == known.end()) {
      const auto near = nearest_name(metric, known);
      tree.add_error_at("score.metrics",
                        "unknown metric '" + metric + "'; " +
                            (near ? "did you mean '" + *near + "'?"
                                  : "expected acc, acc and acc_norm, or perplexity and acc"));
    } else if (metric == "acc_norm" && partial) {
      tree.add_error_at("score.metrics",
                        "acc_norm divides by the length of what is scored, which is the same for "
                        "every choice where prompt.continuation leaves {choice} out; take acc");
    }
  }
  if (!has_acc) tree.add_error_at("score.metrics", "acc is missing");
}

// What can be told before any record is read. A single template may name a list of the record.
void check_labels(OptionTree& tree, const std::vector<std::string>& labels, size_t choices) {
  if (labels.size() > 1 && choices > 1 && labels.size() != choices) {
    tree.add_error_at("answer.labels", "there are " + std::to_string(choices) + " choices and " +
                                           std::to_string(labels.size()) +
                                           " labels; expected a label for each choice");
  }
  for (auto label = labels.begin(); label != labels.end(); ++label) {
    if (std::find(labels.begin(), label, *label) == label) continue;
    tree.add_error_at("answer.labels", "'" + *label + "' is listed twice");
  }
}

void check_required(OptionTree& tree, const std::string& place, bool perplexity) {
  for (const std::string key : {"source.file", "prompt.context", "prompt.choices", "answer.gold"}) {
    if (perplexity && key == "answer.gold") continue;
    if (!tree.is_set(key)) tree.add_error(place + ": `" + key + "` is missing");
  }
}

// perplexity is that of one continuation.
void check_perplexity(OptionTree& tree, const TaskFile& file) {
  if (file.prompt.choices.size() > 1) {
    tree.add_error_at("score.metrics",
                      "perplexity is that of one choice, but prompt.choices lists " +
                          std::to_string(file.prompt.choices.size()));
  }
  if (contains(file.score.metrics, "acc_norm")) {
    tree.add_error_at("score.metrics", "with one choice there is no acc_norm");
  }
}

ExampleRules make_examples(OptionTree& tree, const TaskFile::Examples& examples) {
  const bool are_documents = examples.file.empty() && examples.split.empty();
  ExampleRules rules{.file = examples.file,
                     .split = examples.split,
                     // Examples taken from the documents may be the document itself: one to spare.
                     .spare = are_documents && !tree.is_set("examples.spare") ? 1 : examples.spare,
                     .first = examples.sampler == 1,
                     .group = make_template(tree, "examples.group", examples.common)};
  if (tree.is_set("examples.delimiter")) rules.delimiter = examples.delimiter;
  return rules;
}

bool is_file_name(const std::string& name) {
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.find('/') != std::string::npos;
}

const BuiltinTask* find_builtin(const std::string& name) {
  const auto tasks = builtin_tasks();
  const auto found = std::find_if(tasks.begin(), tasks.end(),
                                  [&](const BuiltinTask& task) { return task.name == name; });
  return found == tasks.end() ? nullptr : &*found;
}

// The file of a task, or an empty path.
fs::path file_of(const std::string& name, const fs::path& folder) {
  if (is_file_name(name)) return expand_home(name);
  if (folder.empty()) return {};
  const fs::path file = folder / (name + ".yaml");
  return path_exists(file) ? file : fs::path();
}

}  // namespace

std::vector<std::string> builtin_choice_tasks() {
  std::vector<std::string> names;
  for (const BuiltinTask& task : builtin_tasks()) names.emplace_back(task.name);
  return names;
}

std::vector<std::string> choice_task_names(const fs::path& folder) {
  std::vector<std::string> names = builtin_choice_tasks();
  if (!folder.empty()) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".yaml") names.push_back(it->path().stem().string());
    }
    if (error) {
      throw UsageError("eval.task_folder " + folder.string() + ": " + error.message(),
                       "give the folder that holds your task files");
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool is_choice_task(const std::string& name, const fs::path& folder) {
  return !file_of(name, folder).empty() || find_builtin(name) != nullptr;
}

ChoiceTask load_choice_task(const std::string& name, const fs::path& folder) {
  const fs::path file = file_of(name, folder);
  if (file.empty()) {
    const BuiltinTask* builtin = find_builtin(name);
    LB_ASSERT(builtin != nullptr, "no task '" + name + "'");
    return parse_choice_task(builtin->yaml, name, "the built-in task " + name);
  }
  ChoiceTask task =
      parse_choice_task(read_file(file, kMaxFileBytes), file.stem().string(), file.string());
  task.origin = file;
  return task;
}

ChoiceTask parse_choice_task(std::string_view yaml, std::string name, const std::string& place) {
  TaskFile file;
  OptionTree tree;
  file.add_to(tree);
  try {
    tree.load_yaml_text(yaml, place);
  } catch (const Error& error) {
    throw InputError(error.what(), kHint);
  }
  const bool perplexity = contains(file.score.metrics, "perplexity");
  check_required(tree, place, perplexity);

  ChoiceTask task{.name = std::move(name),
                  .file = file.source.file,
                  .split = file.source.split,
                  .hub = file.source.hub,
                  .documents = file.source.documents,
                  .delimiter = file.prompt.delimiter};
  for (size_t i = 0; i < file.prompt.fields.size(); ++i) {
    const MadeField& field = file.prompt.fields[i];
    const std::string key = "prompt.fields." + std::to_string(i);
    if (field.name == kChoice || field.name.find_first_of(".|{}") != std::string::npos) {
      tree.add_error_at(key + ".name", "'" + field.name + "' cannot be the name of a field");
    }
    const auto same = [&](const auto& other) { return other.first == field.name; };
    if (std::any_of(task.fields.begin(), task.fields.end(), same)) {
      tree.add_error_at(key + ".name", "'" + field.name + "' is the name of a field above");
    }
    task.fields.emplace_back(field.name, make_template(tree, key + ".value", field.value));
  }
  task.description = make_template(tree, "prompt.description", file.prompt.description);
  task.context = make_template(tree, "prompt.context", file.prompt.context);
  task.choices = make_templates(tree, "prompt.choices", file.prompt.choices);
  task.continuation = make_template(tree, "prompt.continuation", file.prompt.continuation);
  task.gold = make_template(tree, "answer.gold", file.answer.gold);
  task.labels = make_templates(tree, "answer.labels", file.answer.labels);
  if (task.choices.empty() && tree.is_set("prompt.choices")) {
    tree.add_error_at("prompt.choices", "there is none");
  }
  check_labels(tree, file.answer.labels, file.prompt.choices.size());
  const bool partial = !task.continuation.names(kChoice);
  if (partial && !task.context.names(kChoice)) {
    tree.add_error_at(
        "prompt.continuation",
        "neither it nor prompt.context names {choice}: all choices would be the same");
  }
  check_metrics(tree, file.score.metrics, partial);
  if (perplexity) check_perplexity(tree, file);
  task.perplexity = perplexity;
  task.acc_norm = contains(file.score.metrics, "acc_norm");
  task.compared = file.score.compared;
  task.examples = make_examples(tree, file.examples);
  try {
    tree.finish();
  } catch (const Error& error) {
    throw UsageError(error.what(), kHint);
  }
  return task;
}

}  // namespace littlebit
