// The table of GPT-2's alphabet, both ways. Each byte has one character and each character one
// byte.
#include "tokenizer/byte_level.h"

#include <array>

#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

struct Alphabet {
  std::array<std::string, 256> text;  // by byte
  std::array<int16_t, 512> byte;      // by code point, -1: none

  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;  // for bytes that are not visible characters of Latin-1
    for (int b = 0; b < 256; ++b) {
      bool visible = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      char32_t code = visible ? static_cast<char32_t>(b) : next++;
      append_utf8(text[b], code);
      byte[code] = static_cast<int16_t>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  const auto& text = alphabet().text;
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 4);
  for (char b : bytes) out += text[static_cast<uint8_t>(b)];
  return out;
}

std::optional<std::string> from_byte_level(std::string_view text) {
  const auto& byte = alphabet().byte;
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
    char32_t code = code_point_at(text, at);
    if (code >= byte.size() || byte[code] < 0) return std::nullopt;
    out.push_back(static_cast<char>(byte[code]));
  }
  return out;
}

}  // namespace littlebit::tokenizer
