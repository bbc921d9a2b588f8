// Remembers the ids of short words. One thread at a time; forgets everything when it is full.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit::tokenizer {

class WordCache {
 public:
  static constexpr size_t kLongestWord = 64;

  static uint64_t hash(std::string_view word);

  // The ids, or nothing where `word` is not known (no word has no ids). Valid until the next
  // insert().
  std::span<const int32_t> find(std::string_view word, uint64_t hash) const;
  // `word` of at most kLongestWord bytes, not there yet, and with at least one id.
  void insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids);

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t word = 0, ids = 0;  // offsets
    uint16_t word_size = 0, id_count = 0;
  };
  std::vector<Slot> slots_;
  std::string words_;
  std::vector<int32_t> ids_;
  size_t used_ = 0;
};

}  // namespace littlebit::tokenizer
