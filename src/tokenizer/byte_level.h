// GPT-2's alphabet: each of the 256 bytes written as one visible character, so that a vocabulary of
// bytes is text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace littlebit::tokenizer {

std::string to_byte_level(std::string_view bytes);

// The bytes a text in that alphabet stands for; nothing where a character is not of it.
std::optional<std::string> from_byte_level(std::string_view text);

}  // namespace littlebit::tokenizer
