// Python's random module, as far as the C4 windows need it: the Mersenne Twister MT19937 seeded by
// init_by_array, and randint by rejection.
#pragma once

#include <array>
#include <cstdint>

namespace littlebit {

class PythonRandom {
 public:
  explicit PythonRandom(uint32_t seed);
  // random.randint(0, last): uniform in [0, last], last < 2^32 - 1.
  uint32_t up_to(uint32_t last);

 private:
  uint32_t next();
  static constexpr int kSize = 624;
  std::array<uint32_t, kSize> state_;
  int at_ = kSize;
};

}  // namespace littlebit
