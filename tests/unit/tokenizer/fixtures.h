// The tokenizer fixtures of tests/golden/tokenizers as folders that load_tokenizer() takes.
//
// Large files are stored compressed and unpacked into a scratch folder. Families whose terms do not
// let us keep their files (Llama, OPT) are found where LITTLEBIT_FIXTURES names a folder with
// tokenizers/<family>; else their tests are counted as skipped.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

std::filesystem::path tokenizer_fixtures();     // tests/golden/tokenizers
std::vector<std::string> tokenizer_families();  // all that expected ids are kept of

// The tokenizer of a family; nullptr, with a line printed, where its files are not at hand. Loaded
// once.
const Tokenizer* family_tokenizer(const std::string& family);

// $LITTLEBIT_FIXTURES, or an empty path.
std::filesystem::path outside_fixtures();

// Says that a test did not run, and why.
void print_skipped(const std::string& what, const std::string& why);

std::string read_gzip(const std::filesystem::path& file);

}  // namespace littlebit
