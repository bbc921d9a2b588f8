// Small text helpers that several rooms need: human-readable numbers and sizes, closest names,
// UTF-8.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

std::string format_bytes(uint64_t bytes);              // "812 B", "9.54 MiB", "1.20 GiB"
std::string format_duration(double seconds);           // "0.8 s", "12 s", "3m 05s", "2h 14m"
std::string format_count(int64_t n);                   // "1,294,336"
std::string format_fixed(double value, int decimals);  // "0.550": as printf's %.3f
std::string format_digits(double value, int digits);   // "0.55", "1.2e+09": as printf's %.4g
std::string join(std::span<const std::string> parts, std::string_view separator);
std::vector<std::string> split(std::string_view text, char separator);  // "" -> {""}
std::string_view trim(std::string_view text);  // ASCII white space at both ends

// The candidate with the smallest edit distance, if that is at most about a third of the name's
// length.
std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates);

// Byte offset of the first byte that is not well-formed UTF-8 (no surrogates, no overlong forms);
// npos if all is well.
size_t invalid_utf8_at(std::string_view text);
inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD, what stands for it

}  // namespace littlebit
