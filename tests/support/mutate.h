// Damages text and binary files in the ways that find mistakes in readers: bits, bytes, slices,
// ends, numbers, and words of the format in the wrong place. The same seed gives the same damage.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit::test {

class Mutator {
 public:
  // `words` are put in here and there: keys, values and brackets of the format.
  Mutator(uint64_t seed, std::vector<std::string> words)
      : random_(seed), words_(std::move(words)) {}

  // `text` with one to four damages.
  std::string operator()(std::string text) {
    for (size_t n = 1 + below(4); n > 0; --n) damage(text);
    return text;
  }

 private:
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

  void damage(std::string& text) {
    const size_t at = below(text.size() + 1);
    const size_t length = std::min(text.size() - at, 1 + below(16));
    switch (text.empty() ? 3 : below(12)) {
      case 0:
      case 1:
        text[at % text.size()] ^= static_cast<char>(1 << below(8));
        break;
      case 2:
        text[at % text.size()] = static_cast<char>(random_());
        break;
      case 3:
        text.insert(at, 1 + below(4), static_cast<char>(random_()));
        break;
      case 4:
        text.erase(at, length);
        break;
      case 5:
        if (below(8) == 0) text.resize(at);
        break;
      case 6:
        text.insert(below(text.size()), std::string(text.substr(at, length)));
        break;
      case 7:
        swap_slices(text, at, length);
        break;
      case 8:
        text.insert(at, word());
        break;
      case 9:
        text.replace(at, length, word());
        break;
      case 10:
        change_number(text, at);
        break;
      default:
        overwrite_integer(text, at);
    }
  }

  std::string word() { return words_.empty() ? "" : words_[below(words_.size())]; }

  static void swap_slices(std::string& text, size_t at, size_t length) {
    const std::string slice = text.substr(at, length);
    text.erase(at, length);
    text.insert(text.size() / 2, slice);
  }

  // The first run of digits behind `at` becomes another number.
  void change_number(std::string& text, size_t at) {
    static const std::array<const char*, 14> kNumbers = {"0",          "1",
                                                         "-1",         "2",
                                                         "255",        "65536",
                                                         "2147483647", "4294967296",
                                                         "1e308",      "1.5",
                                                         "-0",         "9223372036854775807",
                                                         "1e-320",     "99999999999999999999"};
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto begin =
        std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), digit);
    const auto end = std::find_if_not(begin, text.end(), digit);
    if (begin == end) return;
    text.replace(begin, end, kNumbers[below(kNumbers.size())]);
  }

  // Four or eight bytes of a binary file become an integer at the edge of its range.
  void overwrite_integer(std::string& text, size_t at) {
    static const std::array<uint64_t, 8> kIntegers = {
        0, 1, 0x7F, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 1ull << 40};
    const size_t width = below(2) == 0 ? 4 : 8;
    at = at / width * width;
    if (at + width > text.size()) return;
    const uint64_t value = kIntegers[below(kIntegers.size())];
    std::memcpy(&text[at], &value, width);
  }

  std::mt19937_64 random_;
  std::vector<std::string> words_;
};

}  // namespace littlebit::test
