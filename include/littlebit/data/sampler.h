// The order in which blocks are trained on.
#pragma once

#include <cstdint>

namespace littlebit {

// Which block stands at place i of the endless stream, epoch after epoch: a pure function of (seed,
// epoch, index), O(1).
class Sampler {
 public:
  Sampler(int64_t num_blocks, uint64_t seed, bool shuffle);
  int64_t block_at(int64_t place) const;  // place >= 0; epoch = place / num_blocks

 private:
  int64_t num_blocks_;
  uint64_t seed_;
  bool shuffle_;
};

}  // namespace littlebit
