// Solved examples in front of a document, drawn as lm-evaluation-harness 0.4.8 draws them: a
// generator of its own for each task with the seed 1234, from which one document after the other
// takes its examples.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "littlebit/eval/choice_documents.h"
#include "littlebit/eval/choice_task.h"

namespace littlebit {

class FewShotExamples {
 public:
  // Reads all records of `file`; `task` must outlive it. InputError as for_each_record.
  FewShotExamples(const ChoiceTask& task, const std::filesystem::path& file, int64_t count);
  ~FewShotExamples();

  // The examples of the next document, each with what stands behind it; one that is the document
  // itself is left out. `group`: the document's. InputError: fewer examples than are to be drawn,
  // one that is broken.
  std::string draw(const Json& document, const std::string& group);

 private:
  struct Example {
    std::string record, place;  // JSON
    std::string text;           // empty: not made yet
  };
  struct Pool;
  const std::string& text_of(Example& example) const;

  const ChoiceTask& task_;
  std::filesystem::path file_;
  int64_t count_;
  std::vector<Example> examples_;
  std::map<std::string, std::unique_ptr<Pool>> pools_;  // by group
};

}  // namespace littlebit
