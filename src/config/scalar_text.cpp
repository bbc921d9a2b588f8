// Values as text: YAML that reads back as the same value, and excerpts for messages.
#include <charconv>

#include "config/option_node.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

std::string hex_escape(char c) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {'\\', 'x', kDigits[static_cast<unsigned char>(c) >> 4], kDigits[c & 15]};
}

// Text that every YAML reader takes for this very text without quotes.
bool reads_as_itself(const std::string& value) {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  if (value.find_first_not_of("0123456789_./+-@~ =abcdefghijklmnopqrstuvwxyz"
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos) {
    return false;
  }
  if (value.empty() || value.back() == ' ') return false;
  if (kLetters.find(value[0]) == std::string_view::npos && value[0] != '/' && value[0] != '_') {
    return value.starts_with("./") || value.starts_with("../");
  }
  std::string lower;
  for (const char c : value) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}) {
    if (lower == word) return false;
  }
  return true;
}

}  // namespace

std::string print_integer(int64_t value) { return std::to_string(value); }

std::string print_number(double value) {
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, result.ptr);
  const size_t exponent = text.find('e');
  if (exponent == std::string::npos) return text;
  // "1e-08" -> "1e-8", "1e+20" -> "1e20"
  size_t at = exponent + 1;
  if (text[at] == '+') text.erase(at, 1);
  if (text[at] == '-') ++at;
  while (at + 1 < text.size() && text[at] == '0') text.erase(at, 1);
  return text;
}

std::string print_text(const std::string& value) {
  if (reads_as_itself(value)) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else {
      quoted += is_control(c) ? hex_escape(c) : std::string(1, c);
    }
  }
  return quoted + '"';
}

std::string shown(std::string_view text) {
  constexpr size_t kMax = 120;
  size_t end = std::min(text.size(), kMax);
  while (end > 0 && end < text.size() && (text[end] & 0xC0) == 0x80) --end;  // whole characters
  std::string result = "`";
  for (const char c : text.substr(0, end))
    result += is_control(c) ? hex_escape(c) : std::string(1, c);
  return result + (end < text.size() ? "...`" : "`");
}

}  // namespace littlebit
