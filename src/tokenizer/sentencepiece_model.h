// A SentencePiece model file (tokenizer.model) as data: its pieces and the settings that decide the
// ids.
//
// Reads the protobuf wire format itself, so that every later step may rely on a checked model:
// pieces are UTF-8, not empty and unique, there is exactly one unknown piece, and with byte
// fallback all 256 byte pieces are there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit::tokenizer {

struct SentencePieceModel {
  enum class Kind { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };
  enum class PieceType {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::kNormal;
  };

  std::vector<Piece> pieces;  // index = id
  Kind kind = Kind::kUnigram;
  int32_t unk_id = 0;
  std::string unk_piece = "<unk>";  // as the trainer's settings name it
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;
  bool has_character_map = false;  // a normalisation other than "identity"
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

const char* name(SentencePieceModel::Kind kind);  // "BPE", "Unigram", ...

// `source` names the file in messages. InputError where the bytes are not such a model.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& source);

}  // namespace littlebit::tokenizer
