// The five behaviours of a delimiter, given match by match. The pieces joined are the text, but for
// delimiters that are removed.
#include "tokenizer/split_behavior.h"

#include <algorithm>

#include "tokenizer/json_fields.h"

namespace littlebit::tokenizer {

SplitBehavior read_split_behavior(const std::string& name, const std::string& where) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  refuse(where, "\"" + name + "\"",
         "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

void Splitter::add_other(size_t begin, size_t end, bool is_match) {
  bool has_piece = out_.size() > first_;
  switch (behavior_) {
    case SplitBehavior::kRemoved:
      if (!is_match) out_.push_back({begin, end});
      return;
    case SplitBehavior::kContiguous:
      if (is_match == last_match_ && has_piece)
        out_.back().end = end;
      else
        out_.push_back({begin, end});
      break;
    case SplitBehavior::kMergedWithPrevious:
      if (is_match && !last_match_ && has_piece)
        out_.back().end = end;
      else
        out_.push_back({begin, end});
      break;
    default:  // kMergedWithNext: seen from the end, so settled in finish()
      out_.push_back({begin, end});
      matches_.push_back(is_match);
      break;
  }
  last_match_ = is_match;
}

void Splitter::finish() {
  auto begin = out_.begin() + static_cast<ptrdiff_t>(first_);
  if (behavior_ == SplitBehavior::kMergedWithNext) {
    // From the end: a match right before something that is no match joins it.
    auto keep = out_.end();
    bool later_match = false;
    for (size_t i = matches_.size(); i-- > 0;) {
      PreTokens::Piece piece = begin[static_cast<ptrdiff_t>(i)];
      if (matches_[i] && !later_match && keep != out_.end())
        keep->begin = piece.begin;
      else
        *--keep = piece;
      later_match = matches_[i];
    }
    out_.erase(begin, keep);
    begin = out_.begin() + static_cast<ptrdiff_t>(first_);
  }
  // Empty matches make no pieces.
  out_.erase(std::remove_if(begin, out_.end(), [](const auto& p) { return p.begin == p.end; }),
             out_.end());
}

}  // namespace littlebit::tokenizer
