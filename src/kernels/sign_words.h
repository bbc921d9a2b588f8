// Words of sign bits: reading at any offset, and spreading them over scales.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "variants.h"

namespace littlebit {

template <class T>
using Bits = std::conditional_t<sizeof(T) == 2, uint16_t,
                                std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>;

template <class T>
LITTLEBIT_LOOP T one() {
  if constexpr (std::is_same_v<T, uint16_t>) {
    return 0x3F80;  // bfloat16
  } else {
    return T(1);
  }
}

// 32 bits from any bit offset. Reads the next word only where bits of it are asked for.
LITTLEBIT_LOOP uint32_t load_bits(const uint32_t* words, int64_t first, int64_t count) {
  const int64_t word = first >> 5;
  const int shift = static_cast<int>(first & 31);
  uint64_t bits = words[word];
  if (shift + count > 32) bits |= static_cast<uint64_t>(words[word + 1]) << 32;
  return static_cast<uint32_t>(bits >> shift);
}

// 32 elements, the same scale for all or one each; `bits` bit b flips out[b]. Fixed trip count: one
// vector loop.
template <class T>
LITTLEBIT_LOOP void expand_word(uint32_t bits, const T* scale, T* out) {
  constexpr int kShift = sizeof(T) * 8 - 1;
  for (int b = 0; b < 32; ++b) {
    Bits<T> value;
    std::memcpy(&value, scale + b, sizeof(T));
    value ^= static_cast<Bits<T>>(static_cast<Bits<T>>((bits >> b) & 1) << kShift);
    std::memcpy(out + b, &value, sizeof(T));
  }
}

}  // namespace littlebit
