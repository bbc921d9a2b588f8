// Asks the linked PCRE2 for its members of each category and adds the difference to Unicode 16.0,
// so that a pattern means the same with every version of the library.
#include "tokenizer/unicode_property.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "littlebit/core/error.h"
#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

// In the order of Category.
constexpr std::string_view kNames[] = {"Cn", "Cc", "Cf", "Co", "Cs", "Ll", "Lm", "Lo", "Lt", "Lu",
                                       "Mc", "Me", "Mn", "Nd", "Nl", "No", "Pc", "Pd", "Pe", "Pf",
                                       "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"};
constexpr char32_t kCodePoints = 0x110000;

bool is_surrogate(char32_t code) { return code >= 0xD800 && code < 0xE000; }

// Which code points the PCRE2 library itself counts to a category.
std::vector<bool> members_in_library(const std::string& name) {
  std::string pattern = "\\p{" + name + "}+";
  int error = 0;
  PCRE2_SIZE at = 0;
  auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             PCRE2_UTF | PCRE2_UCP, &error, &at, nullptr);
  LB_ASSERT(code, "PCRE2 without Unicode properties");
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  auto* match = pcre2_match_data_create_from_pattern(code, nullptr);
  std::vector<bool> members(kCodePoints);
  constexpr char32_t kBlock = 0x1000;
  for (char32_t block = 0; block < kCodePoints; block += kBlock) {
    std::string text;
    std::vector<char32_t> at_byte;
    for (char32_t c = block; c < block + kBlock; ++c) {
      if (is_surrogate(c)) continue;
      append_utf8(text, c);
      at_byte.resize(text.size(), c);
    }
    size_t from = 0;
    while (from < text.size() &&
           pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       PCRE2_NO_UTF_CHECK, match, nullptr) > 0) {
      const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match);
      for (size_t i = found[0]; i < found[1]; ++i) members[at_byte[i]] = true;
      from = found[1];
    }
  }
  pcre2_match_data_free(match);
  pcre2_code_free(code);
  return members;
}

std::string hex_item(char32_t code) {
  char text[16];
  std::snprintf(text, sizeof text, "\\x{%X}", static_cast<unsigned>(code));
  return text;
}

template <class Wanted>
std::string range_items(Wanted&& wanted) {
  std::string items;
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (is_surrogate(c) || !wanted(c)) continue;
    char32_t first = c;
    while (c + 1 < kCodePoints && !is_surrogate(c + 1) && wanted(c + 1)) ++c;
    items += hex_item(first);
    if (c > first) items += "-" + hex_item(c);
  }
  return items;
}

std::string complete(const std::string& name) {
  std::vector<bool> library = members_in_library(name);
  auto ours = [&](char32_t c) { return kNames[static_cast<int>(category(c))].starts_with(name); };
  bool too_many = false;
  for (char32_t c = 0; c < kCodePoints && !too_many; ++c)
    too_many = !is_surrogate(c) && library[c] && !ours(c);
  if (too_many) return range_items(ours);
  return "\\p{" + name + "}" + range_items([&](char32_t c) { return !library[c] && ours(c); });
}

}  // namespace

bool is_property(std::string_view name) {
  if (name.size() == 1) return std::string_view("LMNPSZ").find(name[0]) != std::string_view::npos;
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) &&
         name[0] != 'C';
}

std::string property_items(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, std::string> known;
  std::lock_guard lock(mutex);
  auto it = known.find(name);
  if (it == known.end()) it = known.emplace(name, complete(name)).first;
  return it->second;
}

std::string word_items() {
  // is_word, but without the joiners, and with the superscripts and fractions of Latin-1.
  return property_items("L") + property_items("M") + property_items("Nd") + property_items("Nl") +
         property_items("Pc") +
         "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
         "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}";
}

}  // namespace littlebit::tokenizer
