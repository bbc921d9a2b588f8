// The tokenizer classes of transformers 4.51 that we know, and what each does on top of its files.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "tokenizer/pipeline.h"
#include "tokenizer/tokenizer_config.h"

namespace littlebit::tokenizer {

struct TokenizerClass {
  const char* name;  // without "Fast"
  // Special tokens where tokenizer_config.json names none; "" for none.
  const char *bos, *eos, *unk, *pad;
  // BOS and EOS by add_bos_token (true where missing) and add_eos_token, whatever tokenizer.json
  // says.
  bool places_bos_eos;
  // Made from another file where there is no tokenizer.json: tokenizer.model, vocab.json +
  // merges.txt, or nothing.
  enum class Source { kNone, kSentencePiece, kMerges } source;
};

// The class that the folder's tokenizer_config.json or config.json names; without a name the plain
// PreTrainedTokenizer, or GPT2Tokenizer over vocab.json + merges.txt. InputError for a class that
// we do not know.
const TokenizerClass& class_of(const std::filesystem::path& folder, const TokenizerConfig& config);

// What transformers does to a tokenizer after reading it: adds the tokens of the small files,
// places BOS and EOS. `converted`: the parts were made from another file than tokenizer.json.
void finish_as_class(PipelineParts& parts, const TokenizerClass& kind,
                     const TokenizerConfig& config, bool converted);

}  // namespace littlebit::tokenizer
