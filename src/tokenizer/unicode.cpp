// UTF-8 and the classes of characters, from generated tables. Behind require_utf8() nothing here
// checks texts again.
#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>
#include <memory>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit::tokenizer {
namespace {

struct CategoryRun {
  char32_t first;
  uint8_t category;
};
struct Range {
  char32_t first, last;
};
struct CodePair {
  char32_t from, to;
};
#include "tokenizer/unicode_tables.inc"

constexpr char32_t kCodePoints = 0x110000;

// The runs spread out to one byte a code point.
const uint8_t* categories() {
  static const std::unique_ptr<uint8_t[]> table = [] {
    auto bytes = std::make_unique<uint8_t[]>(kCodePoints);
    for (size_t i = 0; i < std::size(kCategoryRuns); ++i) {
      char32_t end = i + 1 < std::size(kCategoryRuns) ? kCategoryRuns[i + 1].first : kCodePoints;
      for (char32_t c = kCategoryRuns[i].first; c < end; ++c) bytes[c] = kCategoryRuns[i].category;
    }
    return bytes;
  }();
  return table.get();
}

template <size_t n>
bool in_ranges(const Range (&ranges)[n], char32_t code) {
  const Range* it = std::lower_bound(std::begin(ranges), std::end(ranges), code,
                                     [](const Range& r, char32_t c) { return r.last < c; });
  return it != std::end(ranges) && it->first <= code;
}

bool between(char32_t code, char32_t first, char32_t last) { return code >= first && code <= last; }
bool in(char32_t code, Category first, Category last) {
  Category c = category(code);
  return c >= first && c <= last;
}

}  // namespace

void require_utf8(std::string_view text, const char* what) {
  size_t at = invalid_utf8_at(text);
  if (at != std::string::npos)
    throw InputError(std::string(what) + " is not UTF-8: bad byte at offset " + std::to_string(at),
                     "convert it first, for example with iconv -t UTF-8");
}

void require_encodable(std::string_view text) {
  constexpr size_t kLongestText = 1u << 30;
  if (text.size() > kLongestText)
    throw InputError("the text has " + format_bytes(text.size()) + ", more than the " +
                         format_bytes(kLongestText) + " that are tokenised at once",
                     "split it into documents");
  require_utf8(text, "the text");
}

char32_t code_point_at(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return static_cast<char32_t>(static_cast<uint8_t>(text[at + i])); };
  switch (utf8_length(text[at])) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
  }
}

char32_t code_point_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return code_point_at(text, at);
}

void append_utf8(std::string& out, char32_t code) {
  auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

Category category(char32_t code) { return static_cast<Category>(categories()[code]); }
bool is_letter(char32_t code) { return in(code, Category::kLl, Category::kLu); }
bool is_number(char32_t code) { return in(code, Category::kNd, Category::kNo); }
bool is_mark(char32_t code) { return in(code, Category::kMc, Category::kMn); }

bool is_white_space(char32_t code) {
  if (code < 0x80) return code == ' ' || between(code, 9, 13);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || between(code, 0x2000, 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool is_word(char32_t code) {
  if (in(code, Category::kLl, Category::kNl) || category(code) == Category::kPc) return true;
  // Other_Alphabetic beyond letters and marks, and Join_Control.
  return between(code, 0x24B6, 0x24E9) || between(code, 0x1F130, 0x1F149) ||
         between(code, 0x1F150, 0x1F169) || between(code, 0x1F170, 0x1F189) ||
         between(code, 0x200C, 0x200D);
}

bool is_mark9(char32_t code) { return code >= 0x300 && in_ranges(kMarks9, code); }

bool is_punctuation8(char32_t code) {
  if (code < 0x80)
    return between(code, '!', '/') || between(code, ':', '@') || between(code, '[', '`') ||
           between(code, '{', '~');
  return in_ranges(kPunctuation8, code);
}

void append_lower(std::string& out, char32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(between(code, 'A', 'Z') ? code + 32 : code));
    return;
  }
  const CodePair* it = std::lower_bound(std::begin(kLowerCase), std::end(kLowerCase), code,
                                        [](const CodePair& p, char32_t c) { return p.from < c; });
  bool found = it != std::end(kLowerCase) && it->from == code;
  append_utf8(out, found ? it->to : code);
  if (code == 0x130) append_utf8(out, 0x307);  // the one character whose lower case is two
}

size_t white_space_begin(std::string_view text, size_t end) {
  while (end > 0) {
    char32_t code = code_point_before(text, end);
    if (!is_white_space(code)) break;
    end -= code < 0x80 ? 1 : code < 0x800 ? 2 : 3;
  }
  return end;
}

size_t white_space_end(std::string_view text, size_t begin) {
  while (begin < text.size() && is_white_space(code_point_at(text, begin)))
    begin += utf8_length(text[begin]);
  return begin;
}

}  // namespace littlebit::tokenizer
