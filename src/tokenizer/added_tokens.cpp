// A trie over bytes: all added tokens of one kind are looked for in one pass over the text.
#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {

TokenMatcher::TokenMatcher() : nodes_(1), first_(256, -1) {}

int32_t TokenMatcher::child(int32_t node, uint8_t byte) const {
  const auto& next = nodes_[node].next;
  auto it = std::lower_bound(next.begin(), next.end(), std::pair<uint8_t, int32_t>{byte, -1});
  return it != next.end() && it->first == byte ? it->second : -1;
}

void TokenMatcher::add(std::string_view pattern, int32_t id, const AddedToken& token) {
  if (pattern.empty()) return;
  int32_t node = 0;
  for (char c : pattern) {
    auto byte = static_cast<uint8_t>(c);
    int32_t to = child(node, byte);
    if (to < 0) {
      to = static_cast<int32_t>(nodes_.size());
      nodes_.emplace_back();
      auto& next = nodes_[node].next;
      next.insert(std::lower_bound(next.begin(), next.end(), std::pair<uint8_t, int32_t>{byte, -1}),
                  {byte, to});
      if (node == 0) first_[byte] = to;
    }
    node = to;
  }
  // The first of equal patterns keeps its id.
  if (nodes_[node].rule >= 0) return;
  nodes_[node].rule = static_cast<int32_t>(rules_.size());
  rules_.push_back({id, token.single_word, token.lstrip, token.rstrip});
}

std::vector<TextPart> TokenMatcher::split(std::string_view text) const {
  std::vector<TextPart> parts;
  size_t done = 0;  // everything before is in `parts`
  for (size_t at = 0; at < text.size();) {
    int32_t node = first_[static_cast<uint8_t>(text[at])];
    if (node < 0) {
      ++at;
      continue;
    }
    // The longest token that begins here, not the first that ends.
    int32_t rule = nodes_[node].rule;
    size_t end = at + 1;
    for (size_t i = at + 1; i < text.size(); ++i) {
      node = child(node, static_cast<uint8_t>(text[i]));
      if (node < 0) break;
      if (nodes_[node].rule >= 0) {
        rule = nodes_[node].rule;
        end = i + 1;
      }
    }
    if (rule < 0) {
      ++at;
      continue;
    }
    const Rule& found = rules_[rule];
    size_t begin = at;
    at = end;
    // Inside a word it is no token, and the search goes on behind it.
    if (found.single_word && ((begin > 0 && is_word(code_point_before(text, begin))) ||
                              (end < text.size() && is_word(code_point_at(text, end)))))
      continue;
    // White space beside it belongs to the token: it is neither tokenised nor given to a neighbour,
    // but never taken from a token before it.
    if (found.lstrip) begin = std::max(done, white_space_begin(text, begin));
    if (found.rstrip) end = white_space_end(text, end);
    if (done < begin) parts.push_back({done, begin, TextPart::kText});
    parts.push_back({begin, end, found.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({done, text.size(), TextPart::kText});
  return parts;
}

}  // namespace littlebit::tokenizer
