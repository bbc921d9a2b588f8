// `littlebit-eval tokenize`: token ids of given strings.
#pragma once

#include <filesystem>

namespace littlebit {

struct TokenizeOptions {
  std::filesystem::path model, input, output;
};

// A JSON list of strings -> a list of {"ids": [...], "ids_with_special": [...]}. Needs the
// tokenizer's files only. Returns the exit code, or throws Error.
int run_tokenize(const TokenizeOptions& options);

}  // namespace littlebit
