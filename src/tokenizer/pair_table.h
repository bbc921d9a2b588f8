// Hash table from a pair of ids to what their merge gives. Filled once, then read only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace littlebit::tokenizer {

class PairTable {
 public:
  struct Merge {
    uint32_t left, right;
    uint32_t rank;  // kNone in a free slot
    int32_t id;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  void reserve(size_t pairs) {
    size_t size = 16;
    while (size < 2 * pairs) size *= 2;
    slots_.assign(size, {0, 0, kNone, -1});
    mask_ = size - 1;
  }

  // At most as many as reserved; a pair that is there already takes the new rank.
  void insert(uint32_t left, uint32_t right, uint32_t rank, int32_t id) {
    Merge* slot = &slots_[start(left, right)];
    while (slot->rank != kNone && !(slot->left == left && slot->right == right))
      slot = slot == &slots_.back() ? slots_.data() : slot + 1;
    *slot = {left, right, rank, id};
  }

  // rank kNone where the pair does not merge.
  const Merge& find(uint32_t left, uint32_t right) const {
    for (size_t i = start(left, right);; i = (i + 1) & mask_) {
      const Merge& slot = slots_[i];
      if (slot.rank == kNone || (slot.left == left && slot.right == right)) return slot;
    }
  }

 private:
  size_t start(uint32_t left, uint32_t right) const {
    uint64_t key = static_cast<uint64_t>(left) << 32 | right;
    return (key * 0x9E3779B97F4A7C15u >> 32) & mask_;
  }
  std::vector<Merge> slots_;
  size_t mask_ = 0;
};

}  // namespace littlebit::tokenizer
