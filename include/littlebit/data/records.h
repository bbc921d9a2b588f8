// The records of a data file: a JSON object per line, a JSON array of objects, or rows of Parquet.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "littlebit/io/json.h"

namespace littlebit {

// Calls sink(record, place) for each record of the file, in order, until it returns false. `place`
// names it in messages: "FILE:12" of a line, else "FILE: record 12", from 1. Blank lines are none.
// A file is Parquet by its name (.parquet), a JSON array by its first character, else a record a
// line; a name ending in .gz or .zst is unpacked, a byte order mark is skipped. InputError: a file
// that is missing, empty or damaged, a record that is not UTF-8 or no JSON object (with its place),
// Parquet where its library is not there.
void for_each_record(const std::filesystem::path& file,
                     const std::function<bool(const Json& record, const std::string& place)>& sink);

}  // namespace littlebit
