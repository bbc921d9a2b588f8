// The documents of a multiple-choice task.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "littlebit/eval/choice_task.h"

namespace littlebit {

struct Choice {
  std::string context, continuation;  // the delimiter is part of the continuation
  int64_t length = 0;                 // characters of the choice, what acc_norm divides by
};

struct ChoiceDocument {
  std::string place;  // of its record, for messages (data/records.h)
  int64_t gold = 0;
  std::vector<Choice> choices;
};

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
