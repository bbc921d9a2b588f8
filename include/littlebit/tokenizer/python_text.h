// Text as Python's str treats it, for benchmarks whose reference is a Python program: white space,
// capitalize(), characters. Texts are UTF-8, checked where they entered. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace littlebit {

// str.strip(), str.lstrip(), str.rstrip(): what str.isspace() calls white space, Unicode's and the
// separators U+001C to U+001F.
std::string_view python_strip(std::string_view text);
std::string_view python_lstrip(std::string_view text);
std::string_view python_rstrip(std::string_view text);

// str.capitalize(): the first character in title case, all others in lower case; one character may
// become several, and a capital sigma takes its final form at the end of a word.
std::string python_capitalize(std::string_view text);

// len(text): code points.
int64_t python_length(std::string_view text);

}  // namespace littlebit
