// Few-shot examples. A record becomes a text when it is drawn first: what is wrong with one that
// nobody draws does not matter.
#include "littlebit/eval/few_shot.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/records.h"
#include "littlebit/eval/choice_documents.h"
#include "littlebit/eval/choice_task.h"
#include "python_random.h"

namespace littlebit {
namespace {

// The harness's own seed and the text it puts behind an example.
constexpr uint32_t kSeed = 1234;
constexpr char kBehind[] = "\n\n";

}  // namespace

// Places in examples_, and the generator that draws from them. One generator per group, drawn from
// document after document: the examples of a document depend on how many came before it, as in the
// harness.
struct FewShotExamples::Pool {
  std::vector<size_t> places;
  PythonRandom random{kSeed};
};

FewShotExamples::FewShotExamples(const ChoiceTask& task, const std::filesystem::path& file,
                                 int64_t count)
    : task_(task), file_(file), count_(count) {
  for_each_record(file, [&](const Json& record, const std::string& place) {
    std::string group;
    try {
      group = fill_record(task, task.examples.group, record);
    } catch (const InputError& error) {
      throw InputError(place + ": " + error.what(), error.hint());
    }
    std::unique_ptr<Pool>& pool = pools_[group];
    if (pool == nullptr) pool = std::make_unique<Pool>();
    pool->places.push_back(examples_.size());
    examples_.push_back({.record = to_json_line(record), .place = place});
    return true;
  });
}

FewShotExamples::~FewShotExamples() = default;

const std::string& FewShotExamples::text_of(Example& example) const {
  if (!example.text.empty()) return example.text;
  try {
    const ChoiceDocument document =
        choice_document(task_, parse_json(example.record, example.place));
    const Choice& choice = document.choices[static_cast<size_t>(document.gold)];
    const std::string target = choice.continuation.substr(task_.delimiter.size());
    example.text = choice.context;
    if (target.empty() && task_.one_target()) return example.text;  // nor anything behind it
    example.text += task_.examples.delimiter.value_or(task_.delimiter) + target + kBehind;
  } catch (const InputError& error) {
    throw InputError(example.place + ": " + error.what(),
                     "it is drawn as an example; examples need the fields of the documents");
  }
  return example.text;
}

std::string FewShotExamples::draw(const Json& document, const std::string& group) {
  const auto found = pools_.find(group);
  Pool* const pool = found == pools_.end() ? nullptr : found->second.get();
  const int64_t there = pool == nullptr ? 0 : static_cast<int64_t>(pool->places.size());
  // Where examples come from the documents themselves, one more is drawn than is shown, so that the
  // document itself can be left out.
  const int64_t drawn = count_ + task_.examples.spare;
  if (drawn > there) {
    throw InputError(
        format_count(drawn) + " examples are to be drawn, but " + file_.string() + " has " +
            format_count(there) + (group.empty() ? "" : " of the group '" + group + "'"),
        "give a smaller eval.num_fewshot (--num-fewshot), or a file with more examples");
  }
  std::vector<uint32_t> places;
  if (task_.examples.first) {
    for (int64_t i = 0; i < drawn; ++i) places.push_back(static_cast<uint32_t>(i));
  } else {
    places = pool->random.sample(static_cast<uint32_t>(there), static_cast<uint32_t>(drawn));
  }
  const std::string own = to_json_line(document);
  std::string text;
  int64_t shown = 0;
  for (const uint32_t place : places) {
    Example& example = examples_[pool->places[place]];
    if (shown == count_ || example.record == own) continue;
    text += text_of(example);
    ++shown;
  }
  return text;
}

}  // namespace littlebit
