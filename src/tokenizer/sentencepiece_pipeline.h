// A tokenizer.model as the pipeline that transformers makes of it (convert_slow_tokenizer:
// LlamaConverter, GemmaConverter).
#pragma once

#include "tokenizer/pipeline.h"
#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/tokenizer_class.h"
#include "tokenizer/tokenizer_config.h"

namespace littlebit::tokenizer {

// InputError, naming `where`, for a model that is neither BPE nor Unigram.
PipelineParts convert_sentencepiece(const SentencePieceModel& model, const TokenizerClass& kind,
                                    const TokenizerConfig& config, const std::string& where);

}  // namespace littlebit::tokenizer
