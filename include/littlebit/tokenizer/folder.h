// From a folder to its tokenizer.
#pragma once

#include <filesystem>
#include <memory>

#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// The tokenizer of a Hugging Face folder. InputError naming the files looked for, or what is not
// understood.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace littlebit
