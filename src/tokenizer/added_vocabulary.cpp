// Gives added tokens their ids: those of the model's vocabulary where they are in it, else the next
// free ones, in the order in which they are added.
#include "tokenizer/added_vocabulary.h"

#include <algorithm>

#include "littlebit/core/error.h"

namespace littlebit::tokenizer {

std::optional<int32_t> AddedVocabulary::id_of(const std::string& token) const {
  if (auto it = by_content_.find(token); it != by_content_.end()) return it->second;
  if (auto it = vocabulary_->find(token); it != vocabulary_->end()) return it->second;
  return std::nullopt;
}

void AddedVocabulary::add(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens)
    if (token.special && !token.content.empty() && special_contents_.insert(token.content).second)
      special_.push_back(token);
  auto next_id = static_cast<int32_t>(vocabulary_->size());
  for (const auto& [content, id] : by_content_) next_id = std::max(next_id, id + 1);
  for (const AddedToken& token : tokens) {
    auto same = by_content_.find(token.content);
    bool known = same != by_content_.end() && by_id_.at(same->second) == token;
    if (token.content.empty() || known) continue;
    int32_t id = id_of(token.content).value_or(next_id);
    next_id = std::max(next_id, id + 1);
    by_content_[token.content] = id;
    by_id_[id] = token;
    if (!special_contents_.count(token.content)) other_.push_back(token);
  }
}

void AddedVocabulary::fill(TokenMatcher& raw, TokenMatcher& normalized,
                           const std::function<std::string(const std::string&)>& normalize) const {
  // Special tokens first: of two with one pattern, the first added is found.
  for (const auto* list : {&special_, &other_}) {
    for (const AddedToken& token : *list) {
      int32_t id = *id_of(token.content);
      const AddedToken& settings = by_id_.at(id);
      if (!token.normalized) {
        raw.add(token.content, id, settings);
        continue;
      }
      std::string pattern = normalize(token.content);
      if (pattern.empty())
        throw InputError("the normalizer leaves nothing of the added token \"" + token.content +
                         "\"");
      normalized.add(pattern, id, settings);
    }
  }
}

}  // namespace littlebit::tokenizer
