// The order of blocks: a permutation per epoch, evaluated at one point. Nothing is stored, so a
// resumed run needs only the place it had reached.
#include "littlebit/data/sampler.h"

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"

namespace littlebit {

Sampler::Sampler(int64_t num_blocks, uint64_t seed, bool shuffle)
    : num_blocks_(num_blocks), seed_(seed), shuffle_(shuffle) {
  LB_ASSERT(num_blocks > 0, "a corpus has a block at least");
}

int64_t Sampler::block_at(int64_t place) const {
  LB_ASSERT(place >= 0, "places count from 0");
  const int64_t epoch = place / num_blocks_;
  const int64_t index = place % num_blocks_;
  if (!shuffle_) return index;
  // Every epoch has its own permutation; permute() computes one place of it without the others.
  const RandomStream stream(seed_, "shuffle/epoch-" + std::to_string(epoch));
  return static_cast<int64_t>(
      permute(stream, static_cast<uint64_t>(num_blocks_), static_cast<uint64_t>(index)));
}

}  // namespace littlebit
