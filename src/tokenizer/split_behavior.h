// What becomes of the delimiter when a text is split: SplitDelimiterBehavior of Hugging Face
// tokenizers.
#pragma once

#include <string>
#include <vector>

#include "tokenizer/pre_tokenizer.h"

namespace littlebit::tokenizer {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

SplitBehavior read_split_behavior(const std::string& name, const std::string& where);

// Turns the stretches of one text, matches of the delimiter and what lies between, into pieces.
class Splitter {
 public:
  Splitter(SplitBehavior behavior, size_t offset, std::vector<PreTokens::Piece>& out)
      : behavior_(behavior), offset_(offset), out_(out), first_(out.size()) {}

  // Stretches come in order and cover the text; [begin, end) may be empty.
  void add(size_t begin, size_t end, bool is_match) {
    if (behavior_ == SplitBehavior::kIsolated) {
      if (begin != end) out_.push_back({offset_ + begin, offset_ + end});
    } else {
      add_other(offset_ + begin, offset_ + end, is_match);
    }
  }
  void finish();

 private:
  void add_other(size_t begin, size_t end, bool is_match);

  SplitBehavior behavior_;
  size_t offset_;
  std::vector<PreTokens::Piece>& out_;
  size_t first_;
  std::vector<bool> matches_;  // kMergedWithNext: of the pieces from first_ on
  bool last_match_ = false;
};

}  // namespace littlebit::tokenizer
