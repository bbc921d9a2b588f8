// Multiple-choice tasks as YAML files describe them, and their documents. A new task is a new file
// (docs/evaluation.md); configs/eval/tasks holds those that are built into the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "littlebit/eval/text_template.h"

namespace littlebit {

struct ChoiceTask {
  std::string name;
  std::filesystem::path origin;  // its file; empty: built in
  std::string file;              // its data's file name
  std::string hub;               // where people get the data, for messages; may be empty
  int64_t documents = 0;         // of the whole data; 0: unknown
  std::vector<std::pair<std::string, TextTemplate>> fields;  // made for each record, in order
  // The context of each choice; `{choice}` is the choice. Where it names it, the scoring is
  // partial: what is scored is the continuation, the same behind every choice.
  TextTemplate context;
  std::vector<TextTemplate> choices;  // each a choice, or a list field's
  TextTemplate continuation;          // by default `{choice}`
  std::string delimiter;              // between context and continuation
  TextTemplate gold;
  std::vector<TextTemplate> labels;  // gold is one of them; none: gold is a number from 0
  bool acc_norm = false;             // besides acc
};

// The tasks that are built in, sorted by name.
std::vector<std::string> builtin_choice_tasks();

// Those and the *.yaml of `folder` (may be empty), each name once, sorted.
std::vector<std::string> choice_task_names(const std::filesystem::path& folder);

// Whether `name` is such a task: a file (a path, or a name that ends in .yaml), a file NAME.yaml
// in `folder`, or one that is built in; the first of these that fits counts.
bool is_choice_task(const std::string& name, const std::filesystem::path& folder);

// Reads it. UsageError listing everything that is wrong with the file, each with file:line, unknown
// keys with the nearest name; InputError where it cannot be read or is no YAML.
ChoiceTask load_choice_task(const std::string& name, const std::filesystem::path& folder);

// The same from a text; `place` stands for the file in messages.
ChoiceTask parse_choice_task(std::string_view yaml, std::string name, const std::string& place);

struct Choice {
  std::string context, continuation;  // the delimiter is part of the continuation
  int64_t length = 0;                 // characters of the choice, what acc_norm divides by
};

struct ChoiceDocument {
  int64_t line = 0;  // of the data file, from 1
  int64_t gold = 0;
  std::vector<Choice> choices;
};

// Where the task's data lies: DATA_ROOT/NAME/FILE, DATA_ROOT/FILE; for a task file of one's own
// also beside it. InputError naming these places, where people get the data and, for parquet, the
// line that converts it.
std::filesystem::path find_choice_data(const ChoiceTask& task,
                                       const std::filesystem::path& data_root);

// The first `limit` documents (0: all) of a jsonl file, in its order. InputError with file:line and
// field where a record is broken: no JSON object, a field missing or of another kind, fewer than
// two choices, gold none of them.
std::vector<ChoiceDocument> read_choice_documents(const ChoiceTask& task,
                                                  const std::filesystem::path& file, int64_t limit);

}  // namespace littlebit
