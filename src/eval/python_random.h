// Python's random module, as far as windows, few-shot examples and bootstrapped errors need it: the
// Mersenne Twister MT19937 seeded by init_by_array, randint by rejection, sample and random.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace littlebit {

class PythonRandom {
 public:
  explicit PythonRandom(uint32_t seed);
  // random.randint(0, last): uniform in [0, last], last < 2^32 - 1.
  uint32_t up_to(uint32_t last);
  // random.sample(range(population), count): places in the order drawn, count <= population.
  std::vector<uint32_t> sample(uint32_t population, uint32_t count);
  double real();  // random.random(): uniform in [0, 1), of 53 bits

 private:
  uint32_t next() { return static_cast<uint32_t>(engine_()); }

  std::mt19937 engine_;
};

}  // namespace littlebit
