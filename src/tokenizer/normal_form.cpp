// Decomposition, reordering and composition over generated tables. Only runs around characters that
// may change are taken apart; the rest of a text is copied.
#include "tokenizer/normal_form.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <vector>

#include "tokenizer/unicode.h"

namespace littlebit::tokenizer {
namespace {

struct Expansion {
  char32_t code;
  uint16_t offset;
  uint8_t length;
};
struct CombiningClass {
  char32_t code;
  uint8_t value;
};
struct Composition {
  char32_t first, second, whole;
};
#include "tokenizer/normal_form_tables.inc"

// Hangul syllables are composed by arithmetic (Unicode 3.12).
constexpr char32_t kS = 0xAC00, kL = 0x1100, kV = 0x1161, kT = 0x11A7;
constexpr char32_t kLs = 19, kVs = 21, kTs = 28, kSs = kLs * kVs * kTs;

bool decomposes(NormalForm form) { return form == NormalForm::kNfd || form == NormalForm::kNfkd; }
bool is_compatible(NormalForm form) {
  return form == NormalForm::kNfkc || form == NormalForm::kNfkd;
}
uint8_t bit(NormalForm form) { return static_cast<uint8_t>(1u << static_cast<int>(form)); }

struct Mark {
  char32_t code;
  uint8_t combining;  // canonical combining class; 0: a starter
};

// Per code point, a bit a form: this character may change, or change with what stands before it.
class Triggers {
 public:
  static const Triggers& get() {
    static const Triggers triggers;
    return triggers;
  }
  bool operator()(NormalForm form, char32_t code) const { return bits_[code] & bit(form); }
  uint8_t combining(char32_t code) const { return combining_[code]; }

 private:
  Triggers() : bits_(new uint8_t[0x110000]()), combining_(new uint8_t[0x110000]()) {
    const uint8_t composed = bit(NormalForm::kNfc) | bit(NormalForm::kNfkc);
    const uint8_t decomposed = bit(NormalForm::kNfd) | bit(NormalForm::kNfkd);
    // Marks may move past each other, and decomposable characters change, in every form; but a
    // character that composition would only restore is no trigger of a composed form.
    for (const auto& c : kCombiningClasses) {
      combining_[c.code] = c.value;
      bits_[c.code] = 0xFF;
    }
    for (const auto& e : kCanonical) bits_[e.code] = 0xFF;
    for (const auto& c : kCompositions) bits_[c.whole] &= static_cast<uint8_t>(~composed);
    for (const auto& e : kCompatibility)
      bits_[e.code] |= bit(NormalForm::kNfkc) | bit(NormalForm::kNfkd);
    for (const auto& c : kCompositions) bits_[c.second] |= composed;
    for (char32_t c = kS; c < kS + kSs; ++c) bits_[c] |= decomposed;
    for (char32_t c = kV; c < kV + kVs; ++c) bits_[c] |= composed;
    for (char32_t c = kT + 1; c < kT + kTs; ++c) bits_[c] |= composed;
  }
  std::unique_ptr<uint8_t[]> bits_, combining_;
};

template <size_t n>
const Expansion* find(const Expansion (&table)[n], char32_t code) {
  const auto* it = std::lower_bound(std::begin(table), std::end(table), code,
                                    [](const Expansion& e, char32_t c) { return e.code < c; });
  return it != std::end(table) && it->code == code ? it : nullptr;
}

void decompose(NormalForm form, char32_t code, std::vector<Mark>& out) {
  const Triggers& triggers = Triggers::get();
  if (code >= kS && code < kS + kSs) {
    char32_t s = code - kS;
    out.push_back({kL + s / (kVs * kTs), 0});
    out.push_back({kV + s % (kVs * kTs) / kTs, 0});
    // A syllable is a leading consonant, a vowel and, where s is no multiple of kTs, a trailing
    // consonant.
    if (s % kTs) out.push_back({kT + s % kTs, 0});
    return;
  }
  const Expansion* expansion = is_compatible(form) ? find(kCompatibility, code) : nullptr;
  if (!expansion) expansion = find(kCanonical, code);
  if (!expansion) {
    out.push_back({code, triggers.combining(code)});
    return;
  }
  for (int i = 0; i < expansion->length; ++i) {
    char32_t part = kExpansionText[expansion->offset + i];
    out.push_back({part, triggers.combining(part)});
  }
}

// Marks in the order of their classes, between starters.
void reorder(std::vector<Mark>& marks) {
  for (auto it = marks.begin(); it != marks.end();) {
    if (it->combining == 0) {
      ++it;
      continue;
    }
    auto end = std::find_if(it, marks.end(), [](const Mark& m) { return m.combining == 0; });
    std::stable_sort(it, end,
                     [](const Mark& a, const Mark& b) { return a.combining < b.combining; });
    it = end;
  }
}

char32_t compose(char32_t first, char32_t second) {
  if (first >= kL && first < kL + kLs && second >= kV && second < kV + kVs)
    return kS + ((first - kL) * kVs + (second - kV)) * kTs;
  if (first >= kS && first < kS + kSs && (first - kS) % kTs == 0 && second > kT &&
      second < kT + kTs)
    return first + (second - kT);
  const auto* it = std::lower_bound(std::begin(kCompositions), std::end(kCompositions), 0,
                                    [&](const Composition& c, int) {
                                      return c.first != first ? c.first < first : c.second < second;
                                    });
  bool found = it != std::end(kCompositions) && it->first == first && it->second == second;
  return found ? it->whole : 0;
}

void recompose(std::vector<Mark>& marks) {
  size_t kept = 0;
  ptrdiff_t starter = -1;  // in marks[0, kept)
  for (const Mark& mark : std::vector<Mark>(marks)) {
    bool adjacent = starter == static_cast<ptrdiff_t>(kept) - 1;
    // A mark joins its starter only if nothing between them has its class or a higher one (Unicode
    // 3.11, D115).
    bool blocked = !adjacent && (marks[kept - 1].combining >= mark.combining);
    char32_t whole =
        starter >= 0 && !blocked ? compose(marks[static_cast<size_t>(starter)].code, mark.code) : 0;
    if (whole) {
      marks[static_cast<size_t>(starter)].code = whole;
      continue;
    }
    if (mark.combining == 0) starter = static_cast<ptrdiff_t>(kept);
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

}  // namespace

std::string normal_form(NormalForm form, std::string_view text) {
  const Triggers& triggers = Triggers::get();
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  std::vector<Mark> marks;
  size_t copied = 0;  // text before is in `out`
  size_t last = 0;    // start of the last character that is not a trigger
  for (size_t at = 0; at < text.size();) {
    if (static_cast<uint8_t>(text[at]) < 0x80 || !triggers(form, code_point_at(text, at))) {
      last = at;
      at += utf8_length(text[at]);
      continue;
    }
    // From the character before on (marks may join it) to the next that is not a trigger.
    size_t begin = std::max(copied, last);
    out.append(text, copied, begin - copied);
    marks.clear();
    size_t end = begin;
    while (end < text.size()) {
      char32_t code = code_point_at(text, end);
      if (end >= at && !triggers(form, code)) break;
      decompose(form, code, marks);
      end += utf8_length(text[end]);
    }
    reorder(marks);
    if (!decomposes(form)) recompose(marks);
    for (const Mark& mark : marks) append_utf8(out, mark.code);
    copied = at = last = end;
  }
  out.append(text, copied, std::string_view::npos);
  return out;
}

}  // namespace littlebit::tokenizer
