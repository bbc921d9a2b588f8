// Title case and the surroundings of a sigma are of Unicode 14.0 (Python 3.11), lower case of 16.0.
#include "littlebit/tokenizer/python_text.h"

#include <algorithm>
#include <iterator>

#include "tokenizer/unicode.h"

namespace littlebit {
namespace {

using tokenizer::append_lower, tokenizer::append_utf8, tokenizer::code_point_at;
using tokenizer::code_point_before, tokenizer::is_white_space, tokenizer::utf8_length;

struct CodePair {
  char32_t from, to;
};
struct TitleExpansion {
  char32_t from, to[3];  // unused places are 0
};
struct Range {
  char32_t first, last;
};
#include "tokenizer/case_tables.inc"

constexpr char32_t kCapitalSigma = 0x3A3, kSigma = 0x3C3, kFinalSigma = 0x3C2;

template <class Entry, size_t n>
const Entry* find(const Entry (&table)[n], char32_t code) {
  const Entry* it = std::lower_bound(std::begin(table), std::end(table), code,
                                     [](const Entry& e, char32_t c) { return e.from < c; });
  return it != std::end(table) && it->from == code ? it : nullptr;
}

template <size_t n>
bool contains(const Range (&ranges)[n], char32_t code) {
  const Range* it = std::lower_bound(std::begin(ranges), std::end(ranges), code,
                                     [](const Range& r, char32_t c) { return r.last < c; });
  return it != std::end(ranges) && it->first <= code;
}

void append_title(std::string& out, char32_t code) {
  if (const TitleExpansion* expansion = find(kTitleExpansions, code)) {
    for (const char32_t part : expansion->to) {
      if (part != 0) append_utf8(out, part);
    }
    return;
  }
  const CodePair* pair = find(kTitleCase, code);
  append_utf8(out, pair != nullptr ? pair->to : code);
}

// Whether the sigma in [at, end) of `text` closes a word: a cased character stands before it and
// none after it, those that case ignores left out of account.
bool closes_word(std::string_view text, size_t at, size_t end) {
  bool cased = false;
  while (at > 0 && !cased) {
    const char32_t code = code_point_before(text, at);
    cased = contains(kCased, code);
    if (!cased && !contains(kCaseIgnorable, code)) return false;
    do {
      --at;
    } while ((text[at] & 0xC0) == 0x80);
  }
  if (!cased) return false;
  while (end < text.size()) {
    const char32_t code = code_point_at(text, end);
    if (contains(kCased, code)) return false;
    if (!contains(kCaseIgnorable, code)) return true;
    end += utf8_length(text[end]);
  }
  return true;
}

bool is_python_space(char32_t code) {
  return is_white_space(code) || (code >= 0x1C && code <= 0x1F);
}

}  // namespace

std::string_view python_lstrip(std::string_view text) {
  while (!text.empty() && is_python_space(code_point_at(text, 0))) {
    text.remove_prefix(utf8_length(text[0]));
  }
  return text;
}

std::string_view python_rstrip(std::string_view text) {
  while (!text.empty() && is_python_space(code_point_before(text, text.size()))) {
    while ((text.back() & 0xC0) == 0x80) text.remove_suffix(1);
    text.remove_suffix(1);
  }
  return text;
}

std::string_view python_strip(std::string_view text) { return python_rstrip(python_lstrip(text)); }

std::string python_capitalize(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0, end = 0; at < text.size(); at = end) {
    end = at + utf8_length(text[at]);
    const char32_t code = code_point_at(text, at);
    if (at == 0) {
      append_title(out, code);
    } else if (code == kCapitalSigma) {
      append_utf8(out, closes_word(text, at, end) ? kFinalSigma : kSigma);
    } else {
      append_lower(out, code);
    }
  }
  return out;
}

int64_t python_length(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace littlebit
