// A folder whose ids are those of a SentencePiece model that trims spaces or rewrites characters.
//
// Segmentation is SentencePiece's, by its library or, for simple models, as fast and the same
// (trimming_bpe.h); around it stands what transformers' Python Llama tokenizer does: added tokens
// in the text, BOS and EOS, spaces when decoding.
#pragma once

#include <filesystem>
#include <memory>

#include "littlebit/tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_class.h"
#include "tokenizer/tokenizer_config.h"

namespace littlebit::tokenizer {

// `file` is the tokenizer.model. InputError where the model or its settings are not understood.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file,
                                              const TokenizerClass& kind,
                                              const TokenizerConfig& config);

}  // namespace littlebit::tokenizer
