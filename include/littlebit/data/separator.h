// What stands behind each document.
#pragma once

#include <cstdint>
#include <vector>

#include "littlebit/data/options.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

// The ids behind each document of a text source (data.separator). UsageError: a text that becomes
// no token.
std::vector<int32_t> separator_ids(const DataOptions& options, const Tokenizer& tokenizer);

}  // namespace littlebit
