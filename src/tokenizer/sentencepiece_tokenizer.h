// A folder whose ids are those of a SentencePiece model: segmentation by the SentencePiece library,
// around it what Hugging Face's Llama tokenizer does (added tokens in the text, the leading space,
// BOS and EOS).
#pragma once

#include <filesystem>
#include <memory>

#include "littlebit/tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"

namespace littlebit {

// `file` is the tokenizer.model. InputError where the model or its settings are not understood.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& file,
                                              const TokenizerConfig& config);

}  // namespace littlebit
