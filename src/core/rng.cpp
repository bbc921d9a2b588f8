// Philox 4x32-10. The seed is the key; the purpose's hash is the high half of the counter, the
// index the low half, so streams of different purposes never meet.
#include "littlebit/core/rng.h"

#include <bit>
#include <cmath>
#include <numbers>
#include <string>

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"

namespace littlebit {
namespace {

__extension__ using uint128 = unsigned __int128;

uint32_t low_word(uint64_t x) { return static_cast<uint32_t>(x); }
uint32_t high_word(uint64_t x) { return static_cast<uint32_t>(x >> 32); }
uint64_t join_words(uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; }

constexpr int kFeistelRounds = 8;

// One pass of a balanced Feistel network: a permutation of [0, 4^half_bits).
uint64_t feistel(const RandomStream& stream, int half_bits, uint64_t x) {
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t left = x >> half_bits, right = x & mask;
  for (uint64_t round = 0; round < kFeistelRounds; ++round) {
    const uint64_t mixed = left ^ (stream.block(round << 32 | right)[0] & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits | right;
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {high_word(product1) ^ counter[1] ^ key[0], low_word(product1),
               high_word(product0) ^ counter[3] ^ key[1], low_word(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

RandomStream::RandomStream(uint64_t seed, std::string_view purpose)
    : key_{low_word(seed), high_word(seed)} {
  const uint64_t hash = std::stoull(content_hash(purpose).substr(0, 16), nullptr, 16);
  counter_high_ = {low_word(hash), high_word(hash)};
}

std::array<uint32_t, 4> RandomStream::block(uint64_t index) const {
  return philox4x32({low_word(index), high_word(index), counter_high_[0], counter_high_[1]}, key_);
}

uint64_t RandomStream::bits(uint64_t index) const {
  const auto words = block(index);
  return join_words(words[0], words[1]);
}

uint64_t RandomStream::below(uint64_t index, uint64_t n) const {
  LB_ASSERT(n > 0, "below(index, 0)");
  const auto words = block(index);
  // The upper 64 bits of (128 random bits) * n.
  const uint128 low = static_cast<uint128>(join_words(words[0], words[1])) * n;
  const uint128 high = static_cast<uint128>(join_words(words[2], words[3])) * n;
  return static_cast<uint64_t>((high + (low >> 64)) >> 64);
}

void RandomStream::fill_normal(uint64_t first, std::span<float> out) const {
  LB_ASSERT(first % 4 == 0, "fill_normal starts at a multiple of 4");
  for (size_t i = 0; i < out.size(); i += 4) {
    const auto words = block((first + i) / 4);
    for (size_t pair = 0; pair < 2; ++pair) {
      // Box-Muller: u in (0, 1], so that its logarithm is finite.
      const double u = (words[2 * pair] + 1.0) * 0x1p-32;
      const double angle = words[2 * pair + 1] * (2 * std::numbers::pi * 0x1p-32);
      const double radius = std::sqrt(-2 * std::log(u));
      const size_t at = i + 2 * pair;
      if (at < out.size()) out[at] = static_cast<float>(radius * std::cos(angle));
      if (at + 1 < out.size()) out[at + 1] = static_cast<float>(radius * std::sin(angle));
    }
  }
}

uint64_t permute(const RandomStream& stream, uint64_t n, uint64_t i) {
  LB_ASSERT(n <= uint64_t{1} << 62, "permute works up to 2^62");
  LB_ASSERT(i < n, "permute outside [0, n)");
  if (n == 1) return 0;
  const int half_bits = (std::bit_width(n - 1) + 1) / 2;
  // Cycle walking: the network permutes a range less than 4 n; values outside [0, n) are sent on
  // until they land inside.
  do {
    i = feistel(stream, half_bits, i);
  } while (i >= n);
  return i;
}

}  // namespace littlebit
