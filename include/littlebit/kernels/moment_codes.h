// How AdamW's moments are kept in fewer bits: the numbers that CPU and GPU round by, and the codes.
// Whatever is not kept exactly is rounded up or down by chance, with the mean where it was: an
// average that moves by less than half a step of its type would stand still otherwise
// (exp_avg_sq with beta2 = 0.999 moves by a thousandth a step, bf16 has steps of a 256th).
//
// 8 bits: blocks of 128 have a scale, the largest size among them. exp_avg is a sign, four bits of
// octave and three of place in it; of exp_avg_sq the square root is kept, with four and four. Code
// c > 0 is (1 + m / 2^k) 2^e, e = 0 the octave that ends with the scale: so sizes below 2^-15.75
// (2^-15.94) of the largest have no code. They are rounded to 0 or to the smallest code; a square
// root that is not 0 always to the latter, since AdamW divides by it.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define LITTLEBIT_ANYWHERE __host__ __device__ __forceinline__
#else
#define LITTLEBIT_ANYWHERE [[gnu::always_inline]] inline
#endif

namespace littlebit {

// Borders of slices and matrices are multiples of it (quant/group_layout.h).
inline constexpr int64_t kMomentBlock = 128;

// What one step of one group draws random numbers by, beside their place.
struct MomentRandom {
  uint32_t step, group;
};

// Philox 4x32-10 (core/rng.h) of the block's lane `lane` < 32: word k is for its number 32 k +
// lane, the low half for exp_avg, the high one for exp_avg_sq. A pure function of place and step.
LITTLEBIT_ANYWHERE void moment_bits(const MomentRandom& random, uint64_t block, uint32_t lane,
                                    uint32_t words[4]) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32) << 5 | lane;
  uint32_t c2 = random.step, c3 = random.group;
  uint32_t k0 = 0x6D6F6D65, k1 = 0x6E747321;
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0, p1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

LITTLEBIT_ANYWHERE float moment_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
LITTLEBIT_ANYWHERE uint32_t moment_word(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// bf16 as its 16 bits; `chance`: 16 random bits.
LITTLEBIT_ANYWHERE uint16_t bf16_by_chance(float value, uint32_t chance) {
  return static_cast<uint16_t>((moment_word(value) + chance) >> 16);
}

// A size in [0, 1] as a code of `kFraction` bits of place, from 1 to the largest, or 0 below the
// smallest by chance; 1 where kNeverZero.
template <int kFraction, bool kNeverZero>
LITTLEBIT_ANYWHERE uint32_t size_code(float size, uint32_t chance) {
  constexpr int kDropped = 23 - kFraction;
  constexpr uint32_t kMax = (16u << kFraction) - 1;
  constexpr uint32_t kBase = (127u << kFraction) - kMax;   // of code 0, which has no number
  constexpr uint32_t kSmallest = (kBase + 1) << kDropped;  // the bits of code 1's number
  const uint32_t bits = moment_word(size);
  const uint32_t rounded = ((bits + (chance << (kDropped - 16))) >> kDropped) - kBase;
  // Below code 1: it, as often as the size is part of its number.
  const float share = size * (65536.0f / moment_float(kSmallest));
  const uint32_t low =
      kNeverZero ? (bits > 0 ? 1 : 0) : (static_cast<float>(static_cast<int32_t>(chance)) < share);
  const uint32_t code = bits < kSmallest ? low : rounded;
  return code < kMax ? code : kMax;
}
template <int kFraction>
LITTLEBIT_ANYWHERE float code_size(uint32_t code) {
  constexpr uint32_t kBase = (127u << kFraction) - ((16u << kFraction) - 1);
  const float value = moment_float((kBase + code) << (23 - kFraction));
  return code == 0 ? 0.0f : value;
}

// exp_avg and the square root of exp_avg_sq as parts of their block's scale.
LITTLEBIT_ANYWHERE uint8_t average_code(float part, uint32_t chance) {
  const uint32_t bits = moment_word(part);
  const uint32_t size = size_code<3, false>(moment_float(bits & 0x7FFFFFFF), chance);
  return static_cast<uint8_t>(size | (bits >> 31) << 7);
}
LITTLEBIT_ANYWHERE float average_of_code(uint8_t code) {
  const float size = code_size<3>(code & 0x7F);
  return moment_float(moment_word(size) | (static_cast<uint32_t>(code) >> 7) << 31);
}
LITTLEBIT_ANYWHERE uint8_t root_code(float part, uint32_t chance) {
  return static_cast<uint8_t>(size_code<4, true>(part, chance));
}
LITTLEBIT_ANYWHERE float root_of_code(uint8_t code) { return code_size<4>(code); }

}  // namespace littlebit
