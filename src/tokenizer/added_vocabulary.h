// The added tokens of a tokenizer, and how they come to their ids.
//
// Follows AddedVocabulary of Hugging Face tokenizers 0.21, also in what happens when a token is
// added again with other settings: its settings are replaced, its place in the raw or normalised
// text is not.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/model.h"

namespace littlebit::tokenizer {

class AddedVocabulary {
 public:
  // `vocabulary` is the model's and outlives this.
  explicit AddedVocabulary(const Vocabulary& vocabulary) : vocabulary_(&vocabulary) {}

  void add(const std::vector<AddedToken>& tokens);

  std::optional<int32_t> id_of(
      const std::string& token) const;  // added tokens first, then the model's
  const std::map<int32_t, AddedToken>& tokens() const { return by_id_; }

  // Matchers for the raw text and for the normalised one; `normalize` writes a token as the
  // normalizer would.
  void fill(TokenMatcher& raw, TokenMatcher& normalized,
            const std::function<std::string(const std::string&)>& normalize) const;

 private:
  const Vocabulary* vocabulary_;
  std::map<std::string, int32_t> by_content_;
  std::map<int32_t, AddedToken> by_id_;
  std::vector<AddedToken> special_,
      other_;  // in the order they came, with the settings they came with
  std::set<std::string> special_contents_;
};

}  // namespace littlebit::tokenizer
