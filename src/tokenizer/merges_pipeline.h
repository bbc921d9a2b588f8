// vocab.json + merges.txt as the pipeline that transformers makes of them for a class it knows
// (convert_slow_tokenizer: GPT2Converter, Qwen2Converter).
#pragma once

#include <filesystem>

#include "tokenizer/pipeline.h"
#include "tokenizer/tokenizer_class.h"
#include "tokenizer/tokenizer_config.h"

namespace littlebit::tokenizer {

PipelineParts convert_merges(const std::filesystem::path& folder, const TokenizerClass& kind,
                             const TokenizerConfig& config);

}  // namespace littlebit::tokenizer
