// Text from a model, token by token (section `generate`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/io/hf_folder.h"
#include "littlebit/models/incremental.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

class OptionGroup;

struct GenerateOptions {
  std::string prompt;                 // empty: what the tokenizer puts in front of every text
  std::filesystem::path prompt_file;  // instead of prompt; "-": standard input
  int64_t max_new_tokens = 256;
  double temperature = 0;  // 0: always the most probable token
  int64_t top_k = 0;       // 0: all
  double top_p = 1;
  int64_t seed = 42;
  std::vector<std::string> stop;  // the text ends before the first of these
  CacheKind kv_cache = CacheKind::kFull;
  void declare(OptionGroup& group);
};

// Ids that end a text: eos_token_id of generation_config.json, or of config.json. InputError where
// it is neither a number nor a list of them.
std::vector<int32_t> eos_token_ids(const HfFolder& folder);

// Gives text out as long as no stop string can begin in it.
class StopFilter {
 public:
  // `stop`: not empty strings.
  StopFilter(std::vector<std::string> stop, std::function<void(std::string_view)> emit);
  bool add(std::string_view text);  // true: a stop string was found; nothing more is given out
  void finish();                    // no more text comes: gives out what was held back

 private:
  std::vector<std::string> stop_;
  std::function<void(std::string_view)> emit_;
  std::string held_;
};

enum class GenerationEnd { kLength, kEndToken, kStopString, kPositions };

struct Generation {
  std::vector<int32_t> ids;  // new ones, without an end token
  GenerationEnd end = GenerationEnd::kLength;
  double prompt_seconds = 0, seconds = 0;  // the prompt; all tokens after the first
};

// Continues `prompt` (at least one id); `emit` gets the text of the new tokens as soon as it is
// certain. InputError: a prompt with more tokens than the model learned positions, or ids it does
// not know. Error kStopped where a stop was requested.
Generation generate(const Decoder& decoder, const Tokenizer& tokenizer,
                    std::span<const int32_t> prompt, std::span<const int32_t> ends,
                    const GenerateOptions& options,
                    const std::function<void(std::string_view)>& emit);

}  // namespace littlebit
