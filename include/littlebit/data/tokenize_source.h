// From a text source to its token file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "littlebit/data/options.h"
#include "littlebit/data/token_file.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// What a token file holds besides the ids of its text.
struct TokenFileOptions {
  std::vector<int32_t> separator;  // behind each document
  BadRecord on_bad_record = BadRecord::kFail;
};

// The token file of a text source of one file (not kTokens): mapped from `cache_dir`, or made there
// on `threads` threads with a progress line. A cached file that is damaged or of another version is
// made again, with a warning. The ids do not depend on `threads`. Of several processes that
// need one file, one makes it and the others wait. InputError as for_each_document; Error with exit
// code 143 where a stop was requested meanwhile.
TokenFile tokenize_source(const SourceOptions& source, const Tokenizer& tokenizer,
                          const std::filesystem::path& cache_dir, int threads,
                          const TokenFileOptions& options = {});

}  // namespace littlebit
