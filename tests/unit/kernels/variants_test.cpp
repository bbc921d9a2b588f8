// Every variant of the CPU kernels that this machine can run, by name, against twins that go one
// bit at a time: the same bits. The numbers are small whole ones where a kernel adds, so that no
// order of sums and no fused product can round.
#include <bit>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "littlebit/kernels/sign_product.h"
#include "littlebit/kernels/signs.h"

namespace littlebit {
namespace {

struct Variant {
  const char* name;
  Instructions use;
};
constexpr Variant kVariants[] = {{"baseline", Instructions::kPlain},
                                 {"AVX2", Instructions::kAvx2},
                                 {"AVX-512", Instructions::kAvx512}};
constexpr int64_t kWidths[] = {1, 2, 15, 16, 31, 32, 33, 63, 64, 65, 100, 127, 128, 257, 1000};

// Runs `check(use)` for each variant, and says which ones this machine cannot run.
template <class Check>
void for_each_variant(const Check& check) {
  for (const Variant& variant : kVariants) {
    if (variant.use > best_instructions()) {
      WARN("not checked: " << variant.name << ", which this machine cannot run");
      continue;
    }
    INFO(variant.name);
    check(variant.use);
  }
}

bool bit_at(const std::vector<uint32_t>& words, int64_t i) {
  return ((words[i / 32] >> (i % 32)) & 1) != 0;
}

std::vector<uint32_t> random_words(int64_t bits, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> words((bits + 31) / 32);
  for (uint32_t& word : words) word = static_cast<uint32_t>(random());
  return words;
}

// Any bits at all: numbers, infinities, subnormal ones and NaN.
template <class T>
std::vector<T> random_bits(int64_t count, uint32_t seed) {
  std::mt19937_64 random(seed);
  std::vector<T> values(count);
  for (T& value : values) {
    const uint64_t bits = random();
    std::memcpy(&value, &bits, sizeof(value));
  }
  return values;
}

template <class T>
std::vector<T> whole_numbers(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(static_cast<int>(random() % 201) - 100);
  return values;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
T plus_one() {
  if constexpr (std::is_same_v<T, uint16_t>) {
    return 0x3F80;  // bfloat16
  } else {
    return T(1);
  }
}

template <class T>
T negated(T value) {
  unsigned char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  bytes[sizeof(T) - 1] ^= 0x80;  // little endian
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

template <class T>
void check_packing(Instructions use, int64_t count) {
  std::vector<T> latents = random_bits<T>(count, 1);
  const T special[] = {T(0), -T(0), std::numeric_limits<T>::quiet_NaN(),
                       -std::numeric_limits<T>::quiet_NaN(), -std::numeric_limits<T>::denorm_min()};
  for (int64_t i = 0; i < count; i += 3) latents[i] = special[i / 3 % 5];
  std::vector<uint32_t> words = random_words(count, 2), want(words.size(), 0);
  int64_t flips = 0;
  for (int64_t i = 0; i < count; ++i) {
    const bool bit = latents[i] < 0;
    flips += bit != bit_at(words, i);
    want[i / 32] |= static_cast<uint32_t>(bit) << (i % 32);
  }
  CHECK(pack_signs(latents.data(), count, words.data(), use) == flips);
  CHECK(words == want);
}

// A matrix of 19 rows, expanded both ways from row 2 to row 18: more than a block of 16 rows.
template <class T>
void check_expansion(Instructions use, int64_t cols, int mode) {
  constexpr int64_t kRows = 19, kBegin = 2, kEnd = 18, kFirst = 37;
  const int64_t stride = cols + 3;
  const std::vector<uint32_t> words = random_words(kFirst + kRows * cols, 3);
  const std::vector<T> scale = random_bits<T>(std::max(kRows, cols), 4);
  const std::vector<T> before = random_bits<T>(kRows * stride, 5);
  std::vector<T> want = before, rows = before, blocks = before;
  for (int64_t r = kBegin; r < kEnd; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      const T value = mode == 1 ? scale[r] : mode == 2 ? scale[c] : plus_one<T>();
      want[r * stride + c] = bit_at(words, kFirst + r * cols + c) ? negated(value) : value;
    }
  }
  const T* by_row = mode == 1 ? scale.data() : nullptr;
  const T* by_column = mode == 2 ? scale.data() : nullptr;
  const SignExpansion<T> plain{words.data(), kFirst,    kRows,       cols,
                               by_row,       by_column, rows.data(), stride};
  expand_signs(plain, kBegin, kEnd, use);
  CHECK(same_bits(rows, want));

  InterleavedSigns signs{nullptr, kRows, cols};
  std::vector<uint32_t> interleaved(signs.num_words());
  interleave_signs(words.data(), kFirst, cols, kRows, cols, interleaved.data());
  signs.words = interleaved.data();
  const InterleavedExpansion<T> job{signs, by_row, by_column, blocks.data() + kBegin * stride,
                                    stride};
  expand_interleaved(job, kBegin, kEnd, use);
  CHECK(same_bits(blocks, want));
}

// Tables and the products from them, over 4 blocks at a time and a rest.
void check_product(Instructions use, int64_t cols, bool scaled) {
  constexpr int64_t kRows = 85;
  const std::vector<float> x = whole_numbers<float>(cols, 6);
  const std::vector<float> scale = whole_numbers<float>(cols, 7);
  const auto value = [&](int64_t c) { return c >= cols ? 0 : scaled ? x[c] * scale[c] : x[c]; };
  std::vector<float> tables(sign_table_size(cols)), want(tables.size());
  build_sign_tables(x.data(), scaled ? scale.data() : nullptr, cols, tables.data(), use);
  for (int64_t i = 0; i < static_cast<int64_t>(want.size()); ++i) {
    for (int64_t k = 0; k < 4; ++k) {
      const float one = value(i / 16 * 4 + k);
      want[i] += ((i >> k) & 1) != 0 ? -one : one;
    }
  }
  CHECK(tables == want);  // -0 is 0

  const std::vector<uint32_t> words = random_words(kRows * cols, 8);
  InterleavedSigns signs{nullptr, kRows, cols};
  std::vector<uint32_t> interleaved(signs.num_words());
  interleave_signs(words.data(), 0, cols, kRows, cols, interleaved.data());
  signs.words = interleaved.data();
  std::vector<float> y(signs.blocks() * InterleavedSigns::kBlock), sums(kRows);
  multiply_signs(signs, want.data(), 0, signs.blocks(), y.data(), use);
  y.resize(kRows);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      sums[r] += bit_at(words, r * cols + c) ? -value(c) : value(c);
    }
  }
  CHECK(y == sums);
}

void check_bf16(Instructions use, int64_t cols) {
  constexpr int64_t kRows = 5;
  const std::vector<float> x = whole_numbers<float>(cols, 9);
  const std::vector<float> values = whole_numbers<float>(kRows * cols, 10);
  std::vector<uint16_t> w(values.size());
  for (size_t i = 0; i < w.size(); ++i) {
    w[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(values[i]) >> 16);
  }
  std::vector<float> y(kRows, 0.5F), want = y;
  for (int64_t r = 1; r < kRows; ++r) {
    want[r] = 0;
    for (int64_t c = 0; c < cols; ++c) want[r] += x[c] * values[r * cols + c];
  }
  multiply_bf16(w.data(), cols, x.data(), 1, kRows, y.data(), use);
  CHECK(y == want);
}

TEST_CASE("every variant packs signs as one bit at a time does") {
  for_each_variant([](Instructions use) {
    for (const int64_t count : kWidths) {
      CAPTURE(count);
      check_packing<float>(use, count);
      check_packing<double>(use, count);
    }
  });
}

TEST_CASE("every variant expands signs as one bit at a time does") {
  for_each_variant([](Instructions use) {
    for (const int64_t cols : kWidths) {
      for (const int mode : {0, 1, 2}) {
        CAPTURE(cols, mode);
        check_expansion<float>(use, cols, mode);
        check_expansion<double>(use, cols, mode);
        check_expansion<uint16_t>(use, cols, mode);
      }
    }
  });
}

TEST_CASE("every variant multiplies from bits as one bit at a time does") {
  for_each_variant([](Instructions use) {
    for (const int64_t cols : kWidths) {
      CAPTURE(cols);
      check_product(use, cols, false);
      check_product(use, cols, true);
      check_bf16(use, cols);
    }
  });
}

}  // namespace
}  // namespace littlebit
