// Products from bits against the plain twin, and the interleaved layout against the rows it is made
// of.
#include "littlebit/kernels/sign_product.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

namespace littlebit {
namespace {

struct Matrix {
  int64_t rows, cols, first_bit, row_bits;
  std::vector<uint32_t> bits, words;

  Matrix(int64_t r, int64_t c, int64_t first, int64_t stride, uint32_t seed)
      : rows(r), cols(c), first_bit(first), row_bits(stride) {
    std::mt19937 random(seed);
    bits.resize((first + r * stride + 31) / 32);
    for (uint32_t& word : bits) word = static_cast<uint32_t>(random());
    words.assign(signs().num_words(), 0xDEADBEEF);
    interleave_signs(bits.data(), first, stride, r, c, words.data());
  }

  InterleavedSigns signs() const { return {words.data(), rows, cols}; }
  bool negative(int64_t r, int64_t c) const {
    const int64_t bit = first_bit + r * row_bits + c;
    return ((bits[bit / 32] >> (bit % 32)) & 1) != 0;
  }
};

std::vector<float> normal(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> number;
  std::vector<float> values(count);
  for (float& value : values) value = number(random);
  return values;
}

// Rows with and without a rest of blocks of 64, 16; columns with and without a rest of words.
const Matrix kMatrices[] = {{1, 1, 0, 1, 1},     {16, 32, 0, 32, 2},     {17, 33, 5, 33, 3},
                            {64, 64, 0, 64, 4},  {79, 576, 128, 576, 5}, {576, 79, 3, 79, 6},
                            {100, 31, 0, 32, 7}, {130, 100, 0, 128, 8},  {5, 4096, 64, 4096, 9}};

TEST_CASE("interleaved words hold the rows, and nothing beside them") {
  for (const Matrix& m : kMatrices) {
    const InterleavedSigns signs = m.signs();
    int64_t wrong = 0, beyond = 0, negatives = 0;
    for (int64_t i = 0; i < signs.num_words() * 32; ++i) {
      const int64_t word = i / 32, row_in_block = word % 16;
      const int64_t r = word / 16 / signs.words_per_row() * 16 + row_in_block;
      const int64_t c = word / 16 % signs.words_per_row() * 32 + i % 32;
      const bool bit = ((m.words[word] >> (i % 32)) & 1) != 0;
      if (r < m.rows && c < m.cols) {
        wrong += bit != m.negative(r, c);
        negatives += bit;
      } else {
        beyond += bit;
      }
    }
    CHECK(wrong == 0);
    CHECK(beyond == 0);
    if (m.rows * m.cols > 100)
      CHECK(std::abs(negatives - m.rows * m.cols / 2) < m.rows * m.cols / 5);
  }
}

TEST_CASE("expanded interleaved signs carry their scale, exactly") {
  for (const Matrix& m : kMatrices) {
    const std::vector<float> by_row = normal(m.rows, 1), by_column = normal(m.cols, 2);
    const int64_t stride = m.cols + 3, skipped = m.rows / 3;
    for (const bool columns : {false, true}) {
      std::vector<float> out(m.rows * stride, 9.0F);
      const InterleavedExpansion<float> job{m.signs(), columns ? nullptr : by_row.data(),
                                            columns ? by_column.data() : nullptr,
                                            out.data() + skipped * stride, stride};
      expand_interleaved(job, skipped, m.rows);
      int64_t wrong = 0;
      for (int64_t r = 0; r < m.rows; ++r) {
        for (int64_t c = 0; c < stride; ++c) {
          float want = 9.0F;
          if (r >= skipped && c < m.cols) {
            want = columns ? by_column[c] : by_row[r];
            if (m.negative(r, c)) want = -want;
          }
          wrong += out[r * stride + c] != want;
        }
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("a product from bits is the plain one, whatever the instructions") {
  const auto use = static_cast<Instructions>(GENERATE(0, 1, 2));
  if (use > best_instructions()) return;  // this machine cannot
  for (const Matrix& m : kMatrices) {
    for (const bool scaled : {false, true}) {
      const std::vector<float> x = normal(m.cols, 3), scale = normal(m.cols, 4);
      const float* scales = scaled ? scale.data() : nullptr;
      std::vector<float> tables(sign_table_size(m.cols), NAN), want(m.rows);
      build_sign_tables(x.data(), scales, m.cols, tables.data());
      multiply_signs_plain(m.signs(), x.data(), scales, want.data());
      const int64_t blocks = m.signs().blocks(), middle = blocks / 2;
      std::vector<float> got(blocks * 16, NAN);
      multiply_signs(m.signs(), tables.data(), middle, blocks, got.data(), use);
      multiply_signs(m.signs(), tables.data(), 0, middle, got.data(), use);
      double sum = 0, worst = 0;
      for (const float value : x) sum += std::abs(value);
      for (int64_t r = 0; r < m.rows; ++r) {
        worst = std::max(worst, std::abs(static_cast<double>(got[r]) - want[r]));
      }
      // One fp32 rounding of a partial sum for every 8 columns, the sums well below the sum of |x|.
      CHECK(worst <= 6e-8 * 4 * sum);
    }
  }
}

TEST_CASE("tables hold all sixteen sums of four") {
  const std::vector<float> x = {1, 2, 4, 8, 16}, scale = {1, 1, 1, 1, 0.5F};
  std::vector<float> tables(sign_table_size(5), NAN);
  build_sign_tables(x.data(), scale.data(), 5, tables.data());
  for (int m = 0; m < 16; ++m) {
    CHECK(tables[m] == 15 - 2 * m);
    CHECK(tables[16 + m] == ((m & 1) != 0 ? -8 : 8));  // columns beyond the fifth are 0
    CHECK(tables[127 - m] == 0);
  }
}

TEST_CASE("a bfloat16 matrix times a vector") {
  for (const int64_t cols : {1, 63, 64, 65, 576, 1000}) {
    const std::vector<float> x = normal(cols, 5), values = normal(7 * cols, 6);
    std::vector<uint16_t> w(7 * cols);
    for (size_t i = 0; i < w.size(); ++i) {
      uint32_t bits;
      std::memcpy(&bits, &values[i], sizeof(bits));
      w[i] = static_cast<uint16_t>(bits >> 16);
    }
    std::vector<float> y(7, NAN);
    multiply_bf16(w.data(), cols, x.data(), 2, 7, y.data());
    CHECK(std::isnan(y[1]));
    for (int64_t r = 2; r < 7; ++r) {
      double want = 0, size = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const uint32_t bits = static_cast<uint32_t>(w[r * cols + c]) << 16;
        float value;
        std::memcpy(&value, &bits, sizeof(value));
        want += static_cast<double>(value) * x[c];
        size += std::abs(static_cast<double>(value) * x[c]);
      }
      CHECK(std::abs(y[r] - want) <= 1e-6 * size);  // 16 fp32 roundings in a row
    }
  }
}

}  // namespace
}  // namespace littlebit
