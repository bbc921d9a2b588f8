// JSON text in and out: the one place that parses or prints it. Values are nlohmann::json.
//
// Parsing is strict (no comments, no trailing commas, no NaN, duplicate keys refused, nesting at
// most 128 levels, text must be UTF-8) and names the source, line and column of what is wrong.
// get_* give typed access to the members of an object with messages that name the source and key.
// All functions are thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace littlebit {

using Json = nlohmann::json;

// `source` names the text in messages, "source:line:column: ...". InputError where it is not JSON.
// Accepts a UTF-8 byte order mark. Lines count from `first_line`, for a text cut out of a longer
// file. An integer beyond 64 bits becomes a floating-point number; a number beyond double is
// refused.
Json parse_json(std::string_view text, const std::string& source, int64_t first_line = 1);
Json read_json_file(const std::filesystem::path& file, uint64_t max_bytes = 256u << 20);

std::string to_json_line(
    const Json& value);  // compact, no newline; non-finite numbers are written as null
std::string to_json_pretty(const Json& value);  // two spaces, final newline

// A member of `object` with its type checked: InputError naming `source` and `key` where it is
// absent, null, or has another type.
double get_number(const Json& object, const std::string& key, const std::string& source);
std::string get_string(const Json& object, const std::string& key, const std::string& source);

}  // namespace littlebit
