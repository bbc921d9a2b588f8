// Added tokens: vocabulary entries that are looked for in the text itself, before the model sees
// it.
//
// Follows the AddedVocabulary of Hugging Face tokenizers 0.21: leftmost-longest matches, first of
// the tokens that are matched in the raw text, then, in what is left and normalised, of those with
// `normalized: true`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit::tokenizer {

struct AddedToken {
  std::string content;
  bool single_word = false;  // no word character may touch it
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space after it
  bool normalized = true;    // matched in the normalised text, as the normaliser writes `content`
  bool special = false;

  friend bool operator==(const AddedToken&, const AddedToken&) = default;
};

// A stretch of text: an added token (id >= 0) or text between them (id == kText).
struct TextPart {
  static constexpr int32_t kText = -1;
  size_t begin = 0, end = 0;  // bytes
  int32_t id = kText;
};

// Finds a set of tokens in a text. Immutable after the last add().
class TokenMatcher {
 public:
  TokenMatcher();
  // `pattern` is what is looked for (content, or its normalised form); of two equal patterns the
  // first counts.
  void add(std::string_view pattern, int32_t id, const AddedToken& token);
  bool empty() const { return nodes_.size() == 1; }

  // Parts that cover `text` in order; empty text gives none.
  std::vector<TextPart> split(std::string_view text) const;

 private:
  struct Rule {
    int32_t id;
    bool single_word, lstrip, rstrip;
  };
  struct Node {
    std::vector<std::pair<uint8_t, int32_t>> next;  // sorted by byte
    int32_t rule = -1;
  };
  int32_t child(int32_t node, uint8_t byte) const;

  std::vector<Node> nodes_;
  std::vector<int32_t> first_;  // child of the root per byte, -1: none
  std::vector<Rule> rules_;
};

}  // namespace littlebit::tokenizer
