// Numbers of fp32 and bf16 in loops that the compiler vectorises.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "variants.h"

namespace littlebit {

LITTLEBIT_LOOP float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
LITTLEBIT_LOOP uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

LITTLEBIT_LOOP float widen(float value) { return value; }
LITTLEBIT_LOOP float widen(uint16_t value) { return bits_to_float(uint32_t{value} << 16); }

LITTLEBIT_LOOP void store(float* to, float value) { *to = value; }
// To the nearest, ties to even, as ATen rounds; every NaN to the same one.
LITTLEBIT_LOOP void store(uint16_t* to, float value) {
  const uint32_t bits = float_to_bits(value);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const bool is_number = (bits & 0x7FFFFFFF) <= 0x7F800000;
  *to = static_cast<uint16_t>(is_number ? rounded : 0x7FC0);
}

constexpr int kLanes = 16;

// The sum over i < n of term(i): in sixteen lanes, which are then added up in one order, whatever
// the instruction set.
template <class Term>
LITTLEBIT_LOOP float sum_of(int64_t n, const Term& term) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] += term(i + k);
  }
  for (int k = 0; i + k < n; ++k) lanes[k] += term(i + k);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
  }
  return lanes[0];
}

// The largest term(i), i < n; -infinity where there is none.
template <class Term>
LITTLEBIT_LOOP float most_of(int64_t n, const Term& term) {
  float lanes[kLanes];
  for (float& lane : lanes) lane = -std::numeric_limits<float>::infinity();
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) lanes[k] = std::max(lanes[k], term(i + k));
  }
  for (int k = 0; i + k < n; ++k) lanes[k] = std::max(lanes[k], term(i + k));
  for (int k = 1; k < kLanes; ++k) lanes[0] = std::max(lanes[0], lanes[k]);
  return lanes[0];
}

// e^x to 2 units in the last place (the polynomial is that of Cephes' expf); beyond +-87.3 what it
// is there, for NaN some number. No call, no branch: the range is kept by a minimum of whole
// numbers.
LITTLEBIT_LOOP float exp_of(float given) {
  constexpr float kMax = 87.3F;
  const auto size = static_cast<int32_t>(float_to_bits(given) & 0x7FFFFFFF);
  const int32_t most = static_cast<int32_t>(float_to_bits(kMax));
  const float x = bits_to_float(static_cast<uint32_t>(size < most ? size : most) |
                                (float_to_bits(given) & 0x80000000));
  constexpr float kToWhole =
      12582912;  // 1.5 * 2^23: what is added to it is rounded to a whole number
  const float shifted = x * 1.44269504F + kToWhole;
  const float n = shifted - kToWhole;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const uint32_t whole = float_to_bits(shifted) - float_to_bits(kToWhole);
  return (p * r * r + r + 1) * bits_to_float((whole + 127) << 23);
}

LITTLEBIT_LOOP float sigmoid(float x) { return 1 / (1 + exp_of(-x)); }

// tanh to 2 units in the last place (below 0.625 the polynomial of Cephes' tanhf). NaN stays NaN.
LITTLEBIT_LOOP float tanh_of(float x) {
  constexpr float kSmall = 0.625F;
  const uint32_t size = float_to_bits(x) & 0x7FFFFFFF, sign = float_to_bits(x) & 0x80000000;
  const float z = x * x;
  float p = -5.70498872745e-3F;
  p = p * z + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  const uint32_t small = float_to_bits(p * z * x + x);
  const uint32_t large = float_to_bits(1 - 2 / (exp_of(2 * bits_to_float(size)) + 1)) | sign;
  // Whole numbers again: from kSmall to infinity.
  const uint32_t is_large = size - float_to_bits(kSmall) <= 0x7F800000 - float_to_bits(kSmall);
  const uint32_t mask = 0 - is_large;
  return bits_to_float((large & mask) | (small & ~mask));
}

}  // namespace littlebit
