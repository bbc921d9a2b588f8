// Grouped rows against loops that go one number at a time by the layout's description, on every
// instruction set of this machine.
#include "littlebit/kernels/grouped_rows.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

namespace littlebit {
namespace {

constexpr Instructions kAll[] = {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512};

float number_of(uint16_t bfloat16) { return std::bit_cast<float>(uint32_t{bfloat16} << 16); }

// Entry (r, c) as the header describes it.
float entry(const GroupedView& view, int64_t r, int64_t c) {
  const GroupedShape& shape = view.shape;
  const int64_t g = c / shape.size, at = c % shape.size, half = shape.size / 2;
  const uint8_t* row = view.numbers + r * shape.row_bytes();
  int number;
  if (shape.bits == 8) {
    number = static_cast<int8_t>(row[g * shape.size + at]);
  } else {
    const uint8_t byte = row[g * half + at % half];
    number = (at < half ? byte % 16 : byte / 16) - 8;
  }
  return static_cast<float>(number) * number_of(view.scales[r * shape.groups + g]);
}

struct Made {
  GroupedShape shape;
  int64_t rows, cols;
  std::vector<float> from;
  std::vector<uint8_t> numbers;
  std::vector<uint16_t> scales;

  Made(int bits, int64_t size, int64_t rows_, int64_t cols_)
      : shape{bits, (cols_ + size - 1) / size, size}, rows(rows_), cols(cols_) {
    std::mt19937 random(static_cast<uint32_t>(bits + size + cols));
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows * cols; ++i) from.push_back(normal(random) * 0.03F);
    numbers.assign(static_cast<size_t>(rows * shape.row_bytes()), 0xAA);
    scales.assign(static_cast<size_t>(rows * shape.groups), 0xAAAA);
  }
  void group(Instructions use = best_instructions()) {
    for (int64_t r = 0; r < rows; ++r) {
      group_row(from.data() + r * cols, cols, shape, numbers.data() + r * shape.row_bytes(),
                scales.data() + r * shape.groups, use);
    }
  }
  GroupedView view() const { return {shape, numbers.data(), scales.data()}; }
};

double squared(double x) { return x * x; }

}  // namespace

TEST_CASE("grouped rows: every instruction set widens and multiplies by the described layout") {
  for (const int bits : {8, 4}) {
    for (const auto& [size, cols] : {std::pair<int64_t, int64_t>{32, 203},
                                     {32, 32},
                                     {64, 130},
                                     {96, 96},
                                     {128, 1},
                                     {128, 257}}) {
      INFO(bits << " bits, groups of " << size << ", " << cols << " columns");
      Made made(bits, size, 5, cols);
      made.group();
      std::vector<float> x(static_cast<size_t>(made.shape.padded_cols()), 0);
      for (int64_t c = 0; c < cols; ++c) x[c] = std::sin(static_cast<float>(c));
      for (const Instructions use : kAll) {
        if (use > best_instructions()) continue;
        std::vector<float> wide(static_cast<size_t>(3 * cols), 7), y(5, 7);
        widen_grouped(made.view(), cols, 1, 4, wide.data(), use);
        multiply_grouped(made.view(), x.data(), 1, 4, y.data(), use);
        CHECK((y[0] == 7 && y[4] == 7));
        for (int64_t r = 1; r < 4; ++r) {
          double sum = 0, size_of_terms = 0;
          for (int64_t c = 0; c < cols; ++c) {
            const float want = entry(made.view(), r, c);
            REQUIRE(wide[(r - 1) * cols + c] == want);
            sum += double{want} * x[c];
            size_of_terms += std::abs(double{want} * x[c]);
          }
          CHECK(std::abs(y[r] - sum) <= 1e-6 * size_of_terms);
        }
      }
    }
  }
}

TEST_CASE("grouped rows: numbers are the nearest for their scale, 4 bits choose a better scale") {
  for (const int bits : {8, 4}) {
    Made made(bits, 32, 40, 250);
    made.group();
    const double least = bits == 8 ? -128 : -8;
    double error = 0, plain_error = 0;
    for (int64_t r = 0; r < made.rows; ++r) {
      for (int64_t g = 0; g < made.shape.groups; ++g) {
        const float* from = made.from.data() + r * made.cols + g * 32;
        const int64_t count = std::min<int64_t>(32, made.cols - g * 32);
        const double scale = number_of(made.scales[r * made.shape.groups + g]);
        double largest = 0;
        for (int64_t i = 0; i < count; ++i) {
          if (std::abs(from[i]) > std::abs(largest)) largest = from[i];
        }
        for (int64_t i = 0; i < count; ++i) {
          const auto rounded = [&](double s) {
            return s * std::clamp(std::nearbyint(from[i] / s), least, -1 - least);
          };
          const double got = entry(made.view(), r, g * 32 + i);
          CHECK(std::abs(got - from[i]) <=
                std::abs(rounded(scale) - from[i]) + 1e-6 * std::abs(scale));
          error += squared(got - from[i]);
          plain_error += squared(rounded(largest / least) - from[i]);
        }
      }
    }
    CHECK(error <= (bits == 8 ? 1 : 0.97) * plain_error);
  }
}

TEST_CASE("grouped rows: every instruction set finds the same numbers; zeros and padding") {
  for (const int bits : {8, 4}) {
    Made made(bits, 64, 3, 70);
    std::fill(made.from.begin() + 70, made.from.begin() + 140, 0.F);  // row 1
    std::fill(made.from.begin() + 140, made.from.end(), 1e-41F);      // row 2: nothing to divide by
    made.group(Instructions::kPlain);
    const Made plain = made;
    for (const Instructions use : kAll) {
      if (use > best_instructions()) continue;
      made.group(use);
      CHECK(made.numbers == plain.numbers);
      CHECK(made.scales == plain.scales);
    }
    for (int64_t c = 0; c < 128; ++c) {
      if (c >= 70) CHECK(entry(plain.view(), 0, c) == 0);
      CHECK(entry(plain.view(), 1, c) == 0);
      CHECK(std::isfinite(entry(plain.view(), 2, c)));
    }
  }
}

}  // namespace littlebit
