// The records of a jsonl file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "littlebit/io/json.h"

namespace littlebit {

// Calls sink(record, line) for each line that is not blank, in order, until it returns false; lines
// count from 1. A name ending in .gz is inflated, a byte order mark is skipped. InputError: a file
// that is missing, empty or damaged, a line that is not UTF-8 or no JSON object (file:line).
void for_each_record(const std::filesystem::path& file,
                     const std::function<bool(const Json& record, int64_t line)>& sink);

}  // namespace littlebit
