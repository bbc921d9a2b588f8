// How a text is split before the model sees it: the pre-tokenizers of tokenizer.json.
//
// Each follows the pre-tokenizer of that name in Hugging Face tokenizers 0.21. Immutable; safe for
// several threads.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit::tokenizer {

// A text and the pieces it is split into, in order and without overlap; no piece is empty.
struct PreTokens {
  struct Piece {
    size_t begin, end;
  };
  std::string_view text;  // the caller's, or `rewritten`
  std::string rewritten;
  std::vector<Piece> pieces;
  bool at_start = false;  // the first piece starts where the original text starts

  std::string_view view(const Piece& piece) const {
    return text.substr(piece.begin, piece.end - piece.begin);
  }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(PreTokens& tokens) const = 0;
};

struct PreTokenizers {
  std::vector<std::unique_ptr<PreTokenizer>> steps;
  bool splits = false;  // some step may cut the text
  bool ends_in_bytes =
      false;  // the last step writes the text in the byte-level alphabet; left to the model
  bool asks_for_start = false;     // Metaspace, `prepend_scheme: first`
  bool start_after_split = false;  // and it comes after a step that cuts
};

// From the "pre_tokenizer" value of a tokenizer.json; no steps for null. InputError where it is not
// understood.
PreTokenizers read_pre_tokenizer(const nlohmann::json& value, const std::string& where);

}  // namespace littlebit::tokenizer
