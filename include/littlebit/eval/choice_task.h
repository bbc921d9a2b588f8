// Multiple-choice tasks as YAML files describe them, and their documents. A new task is a new file
// (docs/evaluation.md); configs/eval/tasks holds those that are built into the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "littlebit/eval/text_template.h"

namespace littlebit {

// Where few-shot examples come from, and how they are drawn (few_shot.h).
struct ExampleRules {
  std::string file, split;  // as ChoiceTask's; both empty: the documents themselves
  int64_t spare = 0;        // drawn beyond those shown, for a document that is drawn for itself
  bool first = false;       // the first ones instead of random ones
  TextTemplate group;       // a document's examples have the same text here
  std::optional<std::string> delimiter;  // in examples; none: the task's
};

struct ChoiceTask {
  std::string name;
  std::filesystem::path origin;  // its file; empty: built in
  std::string file;              // its data's file name
  std::string split;             // of the data set, whose name a file may bear; may be empty
  std::string hub;               // where people get the data, for messages; may be empty
  int64_t documents = 0;         // of the whole data; 0: unknown
  std::vector<std::pair<std::string, TextTemplate>> fields;  // made for each record, in order
  TextTemplate description;  // in front of the examples and the context
  // The context of each choice; `{choice}` is the choice. Where it names it, the scoring is
  // partial: what is scored is the continuation, the same behind every choice.
  TextTemplate context;
  std::vector<TextTemplate> choices;  // each a choice, or a list field's
  TextTemplate continuation;          // by default `{choice}`
  std::string delimiter;              // between context and continuation
  TextTemplate gold;
  std::vector<TextTemplate> labels;  // gold is one of them; none: gold is a number from 0
  bool acc_norm = false;             // besides acc
  // The one choice is to be foretold word by word: acc is the share of those that are the likeliest
  // token by token, and perplexity is taken besides.
  bool perplexity = false;
  bool compared = true;  // whether its numbers were compared with the harness's
  ExampleRules examples;

  // What is scored is a text, not one of several choices' places.
  bool one_target() const { return perplexity || !continuation.names("choice"); }
};

// The tasks that are built in, sorted by name.
std::vector<std::string> builtin_choice_tasks();

// Those and the *.yaml of `folder` (may be empty), each name once, sorted.
std::vector<std::string> choice_task_names(const std::filesystem::path& folder);

// Whether `name` is such a task: a file (a path, or a name that ends in .yaml), a file NAME.yaml
// in `folder`, or one that is built in; the first of these that fits counts.
bool is_choice_task(const std::string& name, const std::filesystem::path& folder);

// Reads it. UsageError listing everything that is wrong with the file, each with file:line, unknown
// keys with the nearest name; InputError where it cannot be read or is not valid YAML.
ChoiceTask load_choice_task(const std::string& name, const std::filesystem::path& folder);

// The same from a text; `place` stands for the file in messages.
ChoiceTask parse_choice_task(std::string_view yaml, std::string name, const std::string& place);

}  // namespace littlebit
