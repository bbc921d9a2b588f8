// Byte-pair encoding, as the BPE model of Hugging Face tokenizers 0.21: the pair of the lowest rank
// is merged first, of two places with the same rank the left one. n log n in the length of a piece.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/model.h"

namespace littlebit::tokenizer {

struct BpeSettings {
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  // Where given, the rank of each merge: those of one rank make the same token.
  std::vector<uint32_t> ranks;
  std::string unk_token;  // "": none
  std::string continuing_subword_prefix, end_of_word_suffix;
  bool fuse_unk = false;
  bool byte_fallback = false;
  bool ignore_merges = false;  // a piece that is a token is that token
  bool bytes = false;          // pieces are bytes; the vocabulary is in the byte-level alphabet
};

// InputError, starting with `where`, where a merge or the unknown token is not in the vocabulary.
std::unique_ptr<Model> make_bpe(const Vocabulary& vocabulary, const BpeSettings& settings,
                                const std::string& where);

}  // namespace littlebit::tokenizer
