// Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): every draw is a pure function
// of (seed, purpose, index), so results do not depend on threads, order of calls or restarts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace littlebit {

// The generator itself: 128 random bits for a counter and a key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// One stream of random numbers. `purpose` names what it is for ("shuffle",
// "svd/model.layers.0.mlp.up_proj", ...).
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view purpose);

  std::array<uint32_t, 4> block(uint64_t index) const;  // 128 random bits
  uint64_t bits(uint64_t index) const;                  // 64 random bits
  uint64_t below(uint64_t index, uint64_t n) const;  // uniform in [0, n), n > 0; unbiased to 2^-64

  // out[i] = the normal (mean 0, variance 1) number of index first + i; `first` must be a multiple
  // of 4.
  void fill_normal(uint64_t first, std::span<float> out) const;

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 2> counter_high_;
};

// A pseudo-random permutation of [0, n) evaluated at one point: O(1) memory and time, no table.
// permute(stream, n, i) for i in [0, n) visits every value once. n <= 2^62. It draws bits of its
// own from the stream: use one that nothing else uses.
uint64_t permute(const RandomStream& stream, uint64_t n, uint64_t i);

}  // namespace littlebit
