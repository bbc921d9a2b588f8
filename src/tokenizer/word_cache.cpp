// Open addressing over a fixed number of slots, their words and ids in two arrays. A cache that is
// full is emptied, so its memory stays bounded.
#include "tokenizer/word_cache.h"

#include <cstring>

namespace littlebit::tokenizer {
namespace {
constexpr size_t kSlots = 1u << 17;  // at most half are used
}

uint64_t WordCache::hash(std::string_view word) {
  // Multiply and fold, eight bytes a step; the low bits pick the slot.
  auto mix = [](uint64_t a, uint64_t b) {
    auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  };
  constexpr uint64_t kOdd1 = 0x9E3779B97F4A7C15, kOdd2 = 0xD1B54A32D192ED03;
  uint64_t state = word.size() * kOdd1, part = 0;
  const char* at = word.data();
  size_t left = word.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::memcpy(&part, at, 8);
    state = mix(state ^ part, kOdd1);
  }
  part = 0;
  std::memcpy(&part, at, left);
  return mix(state ^ part, kOdd2);
}

std::span<const int32_t> WordCache::find(std::string_view word, uint64_t hash) const {
  if (slots_.empty()) return {};
  for (size_t i = hash & (kSlots - 1);; i = (i + 1) & (kSlots - 1)) {
    const Slot& slot = slots_[i];
    if (slot.id_count == 0) return {};
    // The hash alone does not decide: two words with one hash would otherwise get the same ids.
    if (slot.hash == hash && slot.word_size == word.size() &&
        std::memcmp(words_.data() + slot.word, word.data(), word.size()) == 0)
      return {ids_.data() + slot.ids, slot.id_count};
  }
}

void WordCache::insert(std::string_view word, uint64_t hash, std::span<const int32_t> ids) {
  // Emptied rather than pruned: frequent words are back soon, and no entry needs an age.
  if (slots_.empty() || used_ >= kSlots / 2) {
    slots_.assign(kSlots, {});
    words_.clear();
    ids_.clear();
    used_ = 0;
  }
  size_t i = hash & (kSlots - 1);
  while (slots_[i].id_count) i = (i + 1) & (kSlots - 1);
  slots_[i] = {.hash = hash,
               .word = static_cast<uint32_t>(words_.size()),
               .ids = static_cast<uint32_t>(ids_.size()),
               .word_size = static_cast<uint16_t>(word.size()),
               .id_count = static_cast<uint16_t>(ids.size())};
  words_ += word;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  ++used_;
}

}  // namespace littlebit::tokenizer
