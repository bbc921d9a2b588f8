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

struct Choice {
  std::string context, continuation;  // the delimiter is part of the continuation
  int64_t length = 0;                 // characters of the choice, what acc_norm divides by
};

struct ChoiceDocument {
  std::string place;  // of its record, for messages (data/records.h)
  int64_t gold = 0;
  std::vector<Choice> choices;
};

// Where the task's data lies: DATA_ROOT/NAME/FILE, DATA_ROOT/FILE, for a task file of one's own
// also beside it. FILE is the task's or one of its stem that ends in .jsonl, .json (both also .gz
// and .zst) or .parquet; in DATA_ROOT/NAME also one named by the split, as the Hub names it
// (test-00000-of-00001.parquet). The first of these. InputError naming these places and where
// people get the data.
std::filesystem::path find_choice_data(const ChoiceTask& task,
                                       const std::filesystem::path& data_root);

// The same for the file that examples are drawn from.
std::filesystem::path find_example_data(const ChoiceTask& task,
                                        const std::filesystem::path& data_root);

// A record's document, without description and examples. InputError without a place: a field
// missing or of another kind, fewer than two choices, gold none of them.
ChoiceDocument choice_document(const ChoiceTask& task, const Json& record);

// A template of the task's for one record.
std::string fill_record(const ChoiceTask& task, const TextTemplate& text, const Json& record);

class FewShotExamples;

// The first documents of the task's data, in its order, as many as eval.limit leaves (options.h).
// `examples` (may be null) are put in front of the contexts, drawn for one document after the
// other. InputError with the place of a record that is broken.
std::vector<ChoiceDocument> read_choice_documents(const ChoiceTask& task,
                                                  const std::filesystem::path& file, double limit,
                                                  FewShotExamples* examples = nullptr);

}  // namespace littlebit
