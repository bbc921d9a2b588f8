// Python's way of seeding the generator, and of drawing from it.
#include "python_random.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "littlebit/core/error.h"

namespace littlebit {

namespace {

// Matsumoto and Nishimura's init_by_array for a key of one word, which is how Python seeds. (It is
// not std::seed_seq, whose generate() is another function.)
struct InitByArray {
  using result_type = uint32_t;
  uint32_t key;

  template <class Iterator>
  void generate(Iterator first, Iterator last) const {
    const auto size = static_cast<int>(last - first);
    const auto mixed = [&](int i, uint32_t factor) {
      const auto before = static_cast<uint32_t>(first[i - 1]);
      return (before ^ (before >> 30)) * factor;
    };
    first[0] = 19650218;
    for (int i = 1; i < size; ++i) {
      first[i] = mixed(i, 1812433253u) + static_cast<uint32_t>(i);
    }
    int i = 1;
    const auto advance = [&] {
      if (++i < size) return;
      first[0] = first[size - 1];
      i = 1;
    };
    for (int round = size; round > 0; --round) {
      first[i] = (first[i] ^ mixed(i, 1664525u)) + key;
      advance();
    }
    for (int round = size - 1; round > 0; --round) {
      first[i] = (first[i] ^ mixed(i, 1566083941u)) - static_cast<uint32_t>(i);
      advance();
    }
    first[0] = 0x80000000u;
  }
};

}  // namespace

PythonRandom::PythonRandom(uint32_t seed) {
  InitByArray words{seed};
  engine_.seed(words);
}

// As Python's _randbelow: as many leading bits as the number of values has, drawn again until the
// result is one of them.
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
  // A copy of the population, from which each draw takes one and puts the last in its place; else
  // draws with repetition left out.
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
  // 27 and 26 bits of two words: 53 in all, as Python's random().
  const uint32_t high = next() >> 5, low = next() >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

}  // namespace littlebit
