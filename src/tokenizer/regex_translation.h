// Split patterns are written for Oniguruma (what Hugging Face tokenizers runs them with); we run
// them with PCRE2.
//
// The translation accepts the part of the syntax that means the same in both, spells out classes
// whose members differ (white space, word characters) and completes properties to Unicode 16.0
// where the PCRE2 library knows an older one. Everything else is refused by name.
#pragma once

#include <string>
#include <string_view>

namespace littlebit::tokenizer {

// `where` names the pattern's place in messages. InputError where something in it is not
// understood.
std::string translate_regex(std::string_view pattern, const std::string& where);

}  // namespace littlebit::tokenizer
