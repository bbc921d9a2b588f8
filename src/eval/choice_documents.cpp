// From the records of a data file to contexts, continuations and the right choice.
#include "littlebit/eval/choice_documents.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/records.h"
#include "littlebit/eval/choice_task.h"
#include "littlebit/eval/few_shot.h"
#include "littlebit/eval/options.h"
#include "littlebit/tokenizer/python_text.h"

namespace littlebit {
namespace {

// Of several templates the texts of all, of one that names a list the list's.
std::vector<std::string> fill_all(const std::vector<TextTemplate>& templates,
                                  const TemplateFields& fields) {
  if (templates.size() == 1) return templates[0].fill_each(fields);
  std::vector<std::string> texts;
  for (const TextTemplate& each : templates) texts.push_back(each.fill(fields));
  return texts;
}

int64_t gold_of(const ChoiceTask& task, const TemplateFields& fields, int64_t choices) {
  const std::string gold = task.gold.fill(fields);
  if (!task.labels.empty()) {
    const std::vector<std::string> labels = fill_all(task.labels, fields);
    if (static_cast<int64_t>(labels.size()) != choices) {
      throw InputError("there are " + std::to_string(choices) + " choices and " +
                       std::to_string(labels.size()) + " labels (" + join(labels, ", ") +
                       "); expected a label for each choice");
    }
    if (std::set(labels.begin(), labels.end()).size() != labels.size()) {
      throw InputError("among the labels " + join(labels, ", ") +
                       " two are the same; each choice needs its own");
    }
    const auto found = std::find(labels.begin(), labels.end(), gold);
    if (found != labels.end()) return found - labels.begin();
    throw InputError("the answer '" + gold + "' is none among the labels " + join(labels, ", "));
  }
  int64_t place = -1;
  const auto parsed = std::from_chars(gold.data(), gold.data() + gold.size(), place);
  if (parsed.ec != std::errc() || parsed.ptr != gold.data() + gold.size() || place < 0 ||
      place >= choices) {
    throw InputError("the answer '" + gold + "' is not the place of a choice, 0 to " +
                     std::to_string(choices - 1));
  }
  return place;
}

void make_fields(const ChoiceTask& task, TemplateFields& fields) {
  for (const auto& [name, text] : task.fields) fields.set(name, text.fill(fields));
}

int64_t count_records(const std::filesystem::path& file) {
  int64_t count = 0;
  for_each_record(file, [&](const Json&, const std::string&) {
    ++count;
    return true;
  });
  return count;
}

}  // namespace

ChoiceDocument choice_document(const ChoiceTask& task, const Json& record) {
  TemplateFields fields(record);
  make_fields(task, fields);
  const std::vector<std::string> texts = fill_all(task.choices, fields);
  if (texts.size() < 2 && !task.perplexity) {
    throw InputError("there are " + std::to_string(texts.size()) +
                     " choices; expected at least two");
  }
  ChoiceDocument document;
  if (!task.perplexity) document.gold = gold_of(task, fields, static_cast<int64_t>(texts.size()));
  for (const std::string& text : texts) {
    // Templates are filled once per choice: context and continuation may both name it.
    fields.set("choice", text);
    document.choices.push_back({.context = task.context.fill(fields),
                                .continuation = task.delimiter + task.continuation.fill(fields),
                                .length = python_length(text)});
  }
  return document;
}

std::string fill_record(const ChoiceTask& task, const TextTemplate& text, const Json& record) {
  TemplateFields fields(record);
  make_fields(task, fields);
  return text.fill(fields);
}

std::vector<ChoiceDocument> read_choice_documents(const ChoiceTask& task,
                                                  const std::filesystem::path& file, double limit,
                                                  FewShotExamples* examples) {
  // A share is one of all documents; how many there are does not matter to a number of them.
  const bool is_share = limit > 0 && limit < 1;
  const int64_t wanted =
      limited(limit, is_share ? count_records(file) : std::numeric_limits<int64_t>::max());
  std::vector<ChoiceDocument> documents;
  for_each_record(file, [&](const Json& record, const std::string& place) {
    std::string front, group;
    try {
      documents.push_back(choice_document(task, record));
      front = fill_record(task, task.description, record);
      if (examples != nullptr) group = fill_record(task, task.examples.group, record);
    } catch (const InputError& error) {
      throw InputError(
          place + ": " + error.what(),
          "the task's fields are those of " +
              (task.origin.empty() ? "its data on the Hub: " + task.hub : task.origin.string()));
    }
    if (examples != nullptr) front += examples->draw(record, group);
    // In the harness's order: description, examples, the document itself.
    for (Choice& choice : documents.back().choices) choice.context.insert(0, front);
    documents.back().place = place;
    return static_cast<int64_t>(documents.size()) < wanted;
  });
  if (documents.empty()) throw InputError(file.string() + ": it holds no documents");
  return documents;
}

}  // namespace littlebit
