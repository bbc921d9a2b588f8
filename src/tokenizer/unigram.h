// The Unigram model of Hugging Face tokenizers 0.21: the split into tokens with the highest sum of
// scores. Linear in the length of a piece.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizer/model.h"

namespace littlebit::tokenizer {

struct UnigramSettings {
  std::vector<std::pair<std::string, double>> pieces;  // by id, each once
  std::optional<int32_t> unk_id;                       // inside the vocabulary
  bool byte_fallback = false;
};

std::unique_ptr<Model> make_unigram(UnigramSettings settings, const std::string& where);

}  // namespace littlebit::tokenizer
