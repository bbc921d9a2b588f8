// A parser of Oniguruma's syntax that writes PCRE2's. It knows each construct that it lets through;
// anything else is refused with the reason. That a pattern compiles in PCRE2 proves nothing: many
// constructs exist in both engines with different meanings, and a difference would change ids
// without a word.
#include "tokenizer/regex_translation.h"

#include <vector>

#include "littlebit/core/error.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_property.h"

namespace littlebit::tokenizer {
namespace {

constexpr size_t kLongestPattern = 10'000;
constexpr char32_t kLastCode = 0x10FFFF;
constexpr char32_t kSomeLetter = 1;  // stands for one of a class

// Whatever is neither letter nor digit is escaped or written as a number, so that no character of a
// pattern can have a meaning of PCRE2's own.
std::string literal(char32_t code) {
  if (code < 0x80) {
    char c = static_cast<char>(code);
    bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (plain) return {c};
    if (code > 0x20 && code < 0x7F) return {'\\', c};
  }
  static const char kHex[] = "0123456789ABCDEF";
  std::string digits;
  for (int shift = 20; shift >= 0; shift -= 4) digits += kHex[code >> shift & 15];
  return "\\x{" + digits + "}";
}

// One pass, left to right, that writes while it reads. What is let through has one meaning in both
// engines, or is rewritten so that it has; quantifier() is called behind everything that can be
// repeated.
class Translation {
 public:
  Translation(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    if (in_.empty()) refuse("it is empty");
    if (in_.size() > kLongestPattern) refuse("it is longer than 10,000 bytes");
    while (at_ < in_.size()) step();
    if (!ignore_case_.empty()) refuse("a group is not closed");
    return out_;
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw InputError(where_ + ": the pattern \"" + std::string(in_.substr(0, 200)) +
                         "\" is not supported: " + why + " (at byte " + std::to_string(at_) + ")",
                     "docs/tokenizers.md lists what patterns may hold");
  }

  // In force inside (?i:...) alone, up to its closing bracket.
  bool ignores_case() const { return !ignore_case_.empty() && ignore_case_.back(); }
  bool starts(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  char32_t take() {
    char32_t code = code_point_at(in_, at_);
    at_ += utf8_length(in_[at_]);
    return code;
  }

  void step() {
    switch (in_[at_]) {
      case '(':
        return open();
      case ')':
        if (ignore_case_.empty()) refuse("a group is closed that was not opened");
        ignore_case_.pop_back();
        ++at_;
        out_ += ')';
        return quantifier();
      case '|':
        ++at_;
        out_ += '|';
        last_letter_ = 0;
        return;
      // In Oniguruma these match at every line; PCRE2 is given PCRE2_MULTILINE, with \n alone as
      // line end (regex.cpp).
      case '^':
      case '$':
        out_ += in_[at_++];
        return no_quantifier();
      case '.':
        ++at_;
        out_ += '.';
        return quantifier();
      case '[':
        return character_class();
      case '*':
      case '+':
      case '?':
      case '{':
        refuse("a quantifier has nothing to repeat");
      case ']':
      case '}':
        refuse("an unescaped bracket");
      case '\\':
        return escape();
      default:
        return put_literal(take());
    }
  }

  void open() {
    static constexpr std::string_view kSame[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    // check_fold() compares neighbouring letters, which a group would hide from it.
    if (ignores_case()) refuse("a group where case is ignored");
    last_letter_ = 0;
    if (starts("(?i:")) {
      ignore_case_.push_back(true);
      at_ += 4;
      out_ += "(?i:";
      return;
    }
    for (std::string_view same : kSame) {
      if (!starts(same)) continue;
      ignore_case_.push_back(false);
      at_ += same.size();
      out_ += same;
      return;
    }
    if (starts("(?") || starts("(*")) refuse("a group of this kind");
    ignore_case_.push_back(false);
    ++at_;
    out_ += '(';
  }

  void put_literal(char32_t code) {
    if (ignores_case()) check_fold(code);
    out_ += literal(code);
    quantifier();
  }

  // Oniguruma takes the letter of "ss" and other ligatures for the pair, which PCRE2 does not.
  void check_fold(char32_t code) {
    if (code >= 0x80) refuse("a letter beyond ASCII where case is ignored");
    char32_t lower = code >= 'A' && code <= 'Z' ? code + 32 : code;
    static constexpr std::string_view kPairs[] = {"ss", "ff", "fi", "fl", "st"};
    for (std::string_view pair : kPairs)
      if (last_letter_ == static_cast<char32_t>(pair[0]) && lower == static_cast<char32_t>(pair[1]))
        refuse("letters that have a ligature, where case is ignored");
    if (last_letter_ == kSomeLetter) refuse("a class before a letter, where case is ignored");
    last_letter_ = lower;
  }

  // [abc] where case is ignored: plain ASCII only.
  void folded_class() {
    if (last_letter_ != 0 && last_letter_ != '\'')
      refuse("a class after a letter, where case is ignored");
    out_ += '[';
    for (++at_; at_ < in_.size() && in_[at_] != ']'; ++at_) {
      char c = in_[at_];
      if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        refuse("a class of more than letters, where case is ignored");
      out_ += c;
    }
    if (at_ == in_.size()) refuse("a class is not closed");
    ++at_;
    out_ += ']';
    last_letter_ = kSomeLetter;
    quantifier();
  }

  // No pattern needs a repeated position, and engines treat it differently.
  void no_quantifier() {
    if (at_ < in_.size() && std::string_view("*+?{").find(in_[at_]) != std::string_view::npos)
      refuse("a quantifier after a position");
  }

  void quantifier() {
    if (at_ == in_.size()) return;
    char c = in_[at_];
    if (ignores_case() && std::string_view("*+?{").find(c) != std::string_view::npos)
      refuse("a quantifier where case is ignored");
    // Greedy, lazy (?) and possessive (+) mean the same in both.
    if (c == '*' || c == '+' || c == '?') {
      out_ += c;
      ++at_;
      if (starts("?") || starts("+")) out_ += in_[at_++];
    } else if (c == '{') {
      bool range = interval();
      // In Oniguruma's own syntax {n,m}+ repeats the interval, and {n}? makes it optional; in PCRE2
      // the one is possessive and the other lazy.
      if (starts("+")) refuse("a possessive interval");
      if (starts("?")) {
        if (!range) refuse("a lazy fixed count");
        out_ += in_[at_++];
      }
    } else {
      return;
    }
    if (at_ < in_.size() && std::string_view("*+?{").find(in_[at_]) != std::string_view::npos)
      refuse("a quantifier after a quantifier");
  }

  // {n} {n,} {n,m} {,m}; whether it has a comma.
  bool interval() {
    ++at_;
    auto number = [&] {
      std::string digits;
      while (at_ < in_.size() && in_[at_] >= '0' && in_[at_] <= '9') digits += in_[at_++];
      if (digits.size() > 5) refuse("a count of more than five digits");
      return digits;
    };
    // Oniguruma reads {,m} as {0,m}; PCRE2 before 10.43 takes it for text, so the 0 is written.
    std::string least = number(), most;
    bool range = starts(",");
    if (range) {
      ++at_;
      most = number();
    }
    if (!starts("}") || (least.empty() && most.empty())) refuse("an unescaped brace");
    ++at_;
    out_ += "{" + (least.empty() ? "0" : least) + (range ? "," + most : "") + "}";
    return range;
  }

  // The character that an escape other than a class stands for.
  char32_t escaped_character() {
    char32_t code = take();
    switch (code) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'f':
        return '\f';
      case 'v':
        // In PCRE2 \v is a class, all vertical white space.
        return 0x0B;
      case 'a':
        return 0x07;
      case 'e':
        return 0x1B;
      case 'u':
        return hex(4, 4);
      case 'x':
        if (starts("{")) {
          ++at_;
          char32_t value = hex(1, 6);
          if (!starts("}")) refuse("an unfinished \\x{...}");
          ++at_;
          return value;
        } else {
          // \xHH is a byte of the UTF-8 text in Oniguruma, a code point in PCRE2: they agree on
          // ASCII.
          char32_t value = hex(2, 2);
          // As a byte it could be half a character.
          if (value >= 0x80) refuse("a byte beyond ASCII");
          return value;
        }
      default:
        break;
    }
    bool letter = (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
    if (letter || (code >= '0' && code <= '9'))
      refuse("the escape \\" + std::string(1, static_cast<char>(code)));
    return code;
  }

  char32_t hex(int least, int most) {
    char32_t value = 0;
    int count = 0;
    for (; count < most && at_ < in_.size(); ++count, ++at_) {
      char c = in_[at_];
      if (c >= '0' && c <= '9')
        value = value * 16 + static_cast<char32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        value = value * 16 + static_cast<char32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        value = value * 16 + static_cast<char32_t>(c - 'A' + 10);
      else
        break;
    }
    if (count < least || value > kLastCode || (value >= 0xD800 && value < 0xE000))
      refuse("an invalid character number");
    return value;
  }

  // \s, \d, \w, \p{..} and their opposites at at_ (after the backslash): the members as class
  // items.
  bool shorthand(std::string& items, bool& negated) {
    char c = in_[at_];
    negated = c == 'S' || c == 'D' || c == 'W' || c == 'P';
    if (c == 's' || c == 'S') {
      // The members are written out, here and below, instead of the shorthand: PCRE2's tables are
      // of an older Unicode than Oniguruma's (docs/tokenizers.md), and its \s is a different set.
      items = kWhiteSpaceItems;
    } else if (c == 'd' || c == 'D') {
      items = property_items("Nd");
    } else if (c == 'w' || c == 'W') {
      items = word_items();
    } else if (c == 'p' || c == 'P') {
      size_t end = in_.find('}', at_);
      if (end == std::string_view::npos || at_ + 1 >= in_.size() || in_[at_ + 1] != '{')
        refuse("an unfinished property");
      std::string name(in_.substr(at_ + 2, end - at_ - 2));
      if (name.starts_with('^')) {
        negated = !negated;
        name.erase(0, 1);
      }
      if (!is_property(name)) refuse("the property " + name);
      items = property_items(name);
      at_ = end;
    } else {
      return false;
    }
    ++at_;
    return true;
  }

  void escape() {
    if (++at_ == in_.size()) refuse("it ends in a backslash");
    std::string items;
    bool negated = false;
    if (shorthand(items, negated)) {
      if (ignores_case()) refuse("a class where case is ignored");
      out_ += (negated ? "[^" : "[") + items + "]";
      return quantifier();
    }
    char c = in_[at_];
    if (c == 'A' || c == 'z' || c == 'Z') {
      ++at_;
      out_ += std::string("\\") + c;
      return no_quantifier();
    }
    put_literal(escaped_character());
  }

  void character_class() {
    if (ignores_case()) return folded_class();
    ++at_;
    std::string items = "[";
    if (starts("^")) {
      ++at_;
      items += '^';
    }
    if (starts("]")) refuse("a class that starts with a bracket");
    for (bool first = true;; first = false) {
      if (at_ == in_.size()) refuse("a class is not closed");
      if (in_[at_] == ']') break;
      if (in_[at_] == '[') refuse("a class inside a class");
      if (starts("&&")) refuse("an intersection of classes");
      if (in_[at_] == '-' && !first && in_.substr(at_ + 1, 1) != "]")
        refuse("an unescaped - inside a class");
      if (in_[at_] == '\\') {
        if (++at_ == in_.size()) refuse("it ends in a backslash");
        std::string members;
        bool negated = false;
        if (shorthand(members, negated)) {
          // A complement cannot be an item of a class. That of white space, the one that known
          // patterns have there, is short enough to be listed.
          if (negated && members != kWhiteSpaceItems) refuse("an opposite class inside a class");
          items += negated ? kNotWhiteSpaceItems : members;
          continue;
        }
        range(escaped_character(), items);
      } else {
        range(take(), items);
      }
    }
    ++at_;
    out_ += items + "]";
    quantifier();
  }

  // One character of a class, or the range that starts with it.
  void range(char32_t from, std::string& items) {
    items += literal(from);
    if (!starts("-") || in_.substr(at_ + 1, 1) == "]") return;
    ++at_;
    if (at_ == in_.size() || in_[at_] == '[') refuse("an unfinished range");
    char32_t to = 0;
    if (in_[at_] == '\\') {
      if (++at_ == in_.size()) refuse("it ends in a backslash");
      to = escaped_character();
    } else {
      to = take();
    }
    if (to < from) refuse("a range that runs backwards");
    items += "-" + literal(to);
  }

  std::string_view in_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  std::vector<bool> ignore_case_;  // per open group
  char32_t last_letter_ = 0;       // where case is ignored, the letter before
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) {
  return Translation(pattern, where).run();
}

}  // namespace littlebit::tokenizer
