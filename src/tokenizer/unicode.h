// What the tokenizer has to know about characters: UTF-8 stepping, general categories
// (Unicode 16.0), white space.
//
// All texts here are well-formed UTF-8, checked once where a text enters (require_utf8).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace littlebit::tokenizer {

inline constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581, a visible space

// InputError naming `what` and the offset of the first byte that is not UTF-8.
void require_utf8(std::string_view text, const char* what);

// The check of every text that is to be tokenised: UTF-8, and not more than 1 GiB.
void require_encodable(std::string_view text);

char32_t code_point_at(std::string_view text, size_t at);  // `at` is where a character starts
char32_t code_point_before(std::string_view text,
                           size_t end);  // the character that ends at `end` > 0
void append_utf8(std::string& out, char32_t code);

// Length of the character that starts with this byte.
inline size_t utf8_length(char first) {
  auto byte = static_cast<uint8_t>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

enum class Category : uint8_t {
  // clang-format off
  kCn, kCc, kCf, kCo, kCs, kLl, kLm, kLo, kLt, kLu, kMc, kMe, kMn, kNd, kNl, kNo,
  kPc, kPd, kPe, kPf, kPi, kPo, kPs, kSc, kSk, kSm, kSo, kZl, kZp, kZs
  // clang-format on
};
Category category(char32_t code);
bool is_letter(char32_t code);        // \p{L}
bool is_number(char32_t code);        // \p{N}
bool is_mark(char32_t code);          // \p{M}
bool is_white_space(char32_t code);   // White_Space
bool is_word(char32_t code);          // \w: Alphabetic, M, Nd, Pc, Join_Control
bool is_mark9(char32_t code);         // \p{M} of Unicode 9.0
bool is_punctuation8(char32_t code);  // ASCII punctuation, or \p{P} of Unicode 8.0

// Appends the lower case of one character, without regard to what stands around it.
void append_lower(std::string& out, char32_t code);

// Start of the white space that ends at `end`, end of the white space that starts at `begin`.
size_t white_space_begin(std::string_view text, size_t end);
size_t white_space_end(std::string_view text, size_t begin);

}  // namespace littlebit::tokenizer
