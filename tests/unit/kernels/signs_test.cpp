// The sign kernels against one-bit-at-a-time twins, over odd widths, offsets and all element types.
#include "littlebit/kernels/signs.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace littlebit;

namespace {

bool bit_at(const std::vector<uint32_t>& words, int64_t i) { return words[i / 32] >> (i % 32) & 1; }

std::vector<uint32_t> random_words(size_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> words(n);
  for (uint32_t& word : words) word = random();
  return words;
}

template <class T>
void check_expansion(int64_t rows, int64_t cols, int64_t first, int mode) {
  const auto words = random_words((first + rows * cols + 31) / 32, 7);
  std::vector<T> scale(std::max(rows, cols));
  for (size_t i = 0; i < scale.size(); ++i)
    scale[i] = static_cast<T>(i % 2 ? 3 + i : 0x4000 + 2 * i);
  const int64_t stride = cols + 3;
  std::vector<T> out(rows * stride, T(77));
  expand_signs(SignExpansion<T>{words.data(), first, rows, cols, mode == 1 ? scale.data() : nullptr,
                                mode == 2 ? scale.data() : nullptr, out.data(), stride},
               0, rows);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < stride; ++c) {
      T want = T(77);
      if (c < cols) {
        T one = T(1);
        if constexpr (std::is_same_v<T, uint16_t>) one = 0x3F80;
        want = mode == 1 ? scale[r] : mode == 2 ? scale[c] : one;
        if (bit_at(words, first + r * cols + c)) {
          if constexpr (std::is_same_v<T, uint16_t>) {
            want = static_cast<T>(want ^ 0x8000);
          } else {
            want = -want;
          }
        }
      }
      REQUIRE(out[r * stride + c] == want);
    }
  }
}

}  // namespace

TEST_CASE("pack_signs: bit = v < 0, zeros and NaN are +1, tail bits are 0, flips are counted") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> latents = {-1, 1, -0.0f, 0.0f, nan, -nan, -1e-30f};
  std::vector<uint32_t> words = {0xFFFFFFFFu};
  CHECK(pack_signs(latents.data(), 7, words.data()) == 5);
  CHECK(words[0] == 0b1000001u);
  CHECK(pack_signs(latents.data(), 7, words.data()) == 0);

  for (int64_t n : {0, 1, 31, 32, 33, 128, 1000}) {
    std::mt19937 random(3);
    std::normal_distribution<double> normal;
    std::vector<double> values(n);
    for (double& v : values) v = normal(random);
    auto got = random_words((n + 31) / 32, 5);
    int64_t flips = 0;
    for (int64_t i = 0; i < n; ++i) flips += bit_at(got, i) != (values[i] < 0);
    CHECK(pack_signs(values.data(), n, got.data()) == flips);
    for (int64_t i = 0; i < n; ++i) REQUIRE(bit_at(got, i) == (values[i] < 0));
    if (n % 32) CHECK(got.back() >> (n % 32) == 0);
  }
}

TEST_CASE("expand_signs equals its one-bit-at-a-time twin") {
  for (int64_t cols : {1, 8, 31, 32, 33, 64, 100}) {
    for (int64_t first : {0, 5, 32, 63}) {
      for (int mode : {0, 1, 2}) {
        check_expansion<float>(5, cols, first, mode);
        check_expansion<double>(5, cols, first, mode);
        check_expansion<uint16_t>(5, cols, first, mode);
      }
    }
  }
}

TEST_CASE("copy_bit_rows moves rows between strides and leaves other bits alone") {
  for (int64_t cols : {1, 7, 32, 40, 65}) {
    const int64_t rows = 4, from_stride = cols, to_stride = (cols + 31) / 32 * 32;
    const auto from = random_words((3 + rows * from_stride + 31) / 32, 1);
    const auto before = random_words((rows * to_stride + 31) / 32, 2);
    auto to = before;
    copy_bit_rows(from.data(), 3, from_stride, to.data(), 0, to_stride, rows, cols);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < to_stride; ++c) {
        const int64_t i = r * to_stride + c;
        REQUIRE(bit_at(to, i) ==
                (c < cols ? bit_at(from, 3 + r * from_stride + c) : bit_at(before, i)));
      }
    }
  }
}
