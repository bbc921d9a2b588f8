// JSON text in and out: the one place that parses or prints it. Values are nlohmann::json.
//
// Parsing is strict (no comments, no trailing commas, duplicate keys refused, nesting at most 128 levels) and names the
// source, line and column of what is wrong. get_* give typed access with messages that name the source and key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace littlebit {

using Json = nlohmann::json;

// `source` names the text in messages. InputError where it is not JSON. Accepts a UTF-8 byte order mark.
Json parse_json(std::string_view text, const std::string& source);
Json read_json_file(const std::filesystem::path& file, uint64_t max_bytes = 256u << 20);

std::string to_json_line(const Json& value);    // compact, no newline; non-finite numbers are written as null
std::string to_json_pretty(const Json& value);  // two spaces, final newline

}  // namespace littlebit
