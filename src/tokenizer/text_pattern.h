// The "pattern" of Replace and Split: a string looked for as it is, or a regular expression.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/regex.h"

namespace littlebit::tokenizer {

class TextPattern {
 public:
  explicit TextPattern(std::string literal) : literal_(std::move(literal)) {}
  explicit TextPattern(Regex regex) : regex_(std::move(regex)) {}

  bool may_match_nothing() const { return regex_ && regex_->may_match_nothing(); }

  // found(begin, end) for each match, in order and without overlap.
  template <class Found>
  void find_all(std::string_view text, Found&& found) const {
    if (regex_) return regex_->find_all(text, found);
    for (size_t at = 0; (at = text.find(literal_, at)) != std::string_view::npos;) {
      found(at, at + literal_.size());
      at += literal_.size();
    }
  }

 private:
  std::string literal_;  // not empty unless there is a regex
  std::optional<Regex> regex_;
};

// {"String": "..."} or {"Regex": "..."}. InputError where it is neither, or empty.
TextPattern read_text_pattern(const nlohmann::json& value, const std::string& where);

}  // namespace littlebit::tokenizer
