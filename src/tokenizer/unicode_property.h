// Members of character classes as items of a PCRE2 class, completed to Unicode 16.0.
#pragma once

#include <string>
#include <string_view>

namespace littlebit::tokenizer {

// White_Space, which is not quite what PCRE2 calls \s; and all the rest.
inline constexpr std::string_view kWhiteSpaceItems =
    "\\x{9}-\\x{D}\\x{20}\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}"
    "\\x{205F}\\x{3000}";
inline constexpr std::string_view kNotWhiteSpaceItems =
    "\\x{0}-\\x{8}\\x{E}-\\x{1F}\\x{21}-\\x{84}\\x{86}-\\x{9F}\\x{A1}-\\x{167F}\\x{1681}-\\x{1FFF}"
    "\\x{200B}-\\x{2027}\\x{202A}-\\x{202E}\\x{2030}-\\x{205E}\\x{2060}-\\x{2FFF}"
    "\\x{3001}-\\x{10FFFF}";

bool is_property(std::string_view name);              // a general category: "L", "Lu", "Nd", ...
std::string property_items(const std::string& name);  // of such a category
std::string word_items();                             // Oniguruma's \w

}  // namespace littlebit::tokenizer
