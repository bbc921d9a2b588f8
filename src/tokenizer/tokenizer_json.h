// tokenizer.json, as Hugging Face tokenizers 0.21 writes and reads it, to the parts of a pipeline.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "tokenizer/pipeline.h"

namespace littlebit::tokenizer {

// `add_prefix_space`, where given, overrides that of a ByteLevel pre-tokenizer that stands alone.
// InputError naming what is not understood.
PipelineParts read_tokenizer_json(const nlohmann::json& json, const std::string& where,
                                  std::optional<bool> add_prefix_space);

// The refusal of a vocabulary whose ids are not unique, negative or unreasonably large; `where`
// names it.
void check_vocabulary(const Vocabulary& vocabulary, const std::string& where);

}  // namespace littlebit::tokenizer
