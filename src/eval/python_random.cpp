// Matsumoto and Nishimura's generator (2002 version) with Python's way of seeding and drawing.
#include "python_random.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "littlebit/core/error.h"

namespace littlebit {

PythonRandom::PythonRandom(uint32_t seed) {
  const auto mixed = [&](int i, uint32_t factor) {
    const uint32_t before = state_[i - 1];
    return (before ^ (before >> 30)) * factor;
  };
  state_[0] = 19650218;
  for (int i = 1; i < kSize; ++i) state_[i] = mixed(i, 1812433253u) + static_cast<uint32_t>(i);
  // init_by_array with the one word of the key: its index stays 0.
  int i = 1;
  const auto advance = [&] {
    if (++i < kSize) return;
    state_[0] = state_[kSize - 1];
    i = 1;
  };
  for (int round = 0; round < kSize; ++round) {
    state_[i] = (state_[i] ^ mixed(i, 1664525u)) + seed;
    advance();
  }
  for (int round = 0; round < kSize - 1; ++round) {
    state_[i] = (state_[i] ^ mixed(i, 1566083941u)) - static_cast<uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000u;
}

uint32_t PythonRandom::next() {
  if (at_ == kSize) {
    for (int i = 0; i < kSize; ++i) {
      const uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kSize] & 0x7fffffffu);
      state_[i] = state_[(i + 397) % kSize] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    at_ = 0;
  }
  uint32_t y = state_[at_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

uint32_t PythonRandom::up_to(uint32_t last) {
  const uint64_t values = uint64_t{last} + 1;
  const int bits = std::bit_width(values);
  LB_ASSERT(bits <= 32, "more values than one word of the generator has");
  uint32_t drawn;
  do {
    drawn = next() >> (32 - bits);
  } while (drawn >= values);
  return drawn;
}

std::vector<uint32_t> PythonRandom::sample(uint32_t population, uint32_t count) {
  LB_ASSERT(count <= population, "more places than there are");
  // Python takes the way that it thinks the smaller one in memory; they draw differently.
  uint64_t set_size = 21;
  if (count > 5) {
    uint64_t power = 1;
    while (power < uint64_t{count} * 3) power *= 4;
    set_size += power;
  }
  std::vector<uint32_t> places;
  if (population <= set_size) {
    std::vector<uint32_t> pool(population);
    std::iota(pool.begin(), pool.end(), 0u);
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t at = up_to(population - i - 1);
      places.push_back(pool[at]);
      pool[at] = pool[population - i - 1];
    }
    return places;
  }
  while (places.size() < count) {
    const uint32_t at = up_to(population - 1);
    if (std::find(places.begin(), places.end(), at) == places.end()) places.push_back(at);
  }
  return places;
}

double PythonRandom::real() {
  const uint32_t high = next() >> 5, low = next() >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

}  // namespace littlebit
