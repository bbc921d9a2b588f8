// Each layout against its definition, number by number, at sizes around the squares of 4 and 16
// that the loops work in, with rows and columns that the source does not have.
#include "littlebit/kernels/row_layouts.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace littlebit {
namespace {

constexpr int64_t kPadding = 3;  // numbers between rows, which nobody may touch

template <class T>
struct Matrix {
  Matrix(int64_t rows_of_it, int64_t cols_of_it, int64_t padding = kPadding)
      : rows(rows_of_it),
        cols(cols_of_it),
        stride(cols + padding),
        numbers(static_cast<size_t>(rows * stride), T(7)) {}
  // Numbers that bf16 holds exactly, each place another one.
  static Matrix numbered(int64_t rows, int64_t cols, int64_t padding = kPadding) {
    Matrix made(rows, cols, padding);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) made.at(r, c) = static_cast<T>(1 + (r * cols + c) % 251);
    }
    return made;
  }
  T& at(int64_t row, int64_t col) { return numbers[static_cast<size_t>(row * stride + col)]; }
  // Of a matrix that ends where it ends, zero beyond.
  T or_zero(int64_t row, int64_t col) { return row < rows && col < cols ? at(row, col) : T(0); }
  RowsOf<const T> read() const { return {numbers.data(), stride, rows, cols}; }
  RowsOf<T> written() { return {numbers.data(), stride, rows, cols}; }

  int64_t rows, cols, stride;
  std::vector<T> numbers;
};

// Calls check(rows, cols, beyond) for sizes of sources and rows or columns beyond them.
template <class Check>
void for_sizes(const Check& check) {
  for (const int64_t rows : {1, 2, 4, 7, 16, 33}) {
    for (const int64_t cols : {1, 4, 6, 17, 32}) {
      for (const int64_t beyond : {0, 1, 5}) {
        INFO(std::to_string(rows) + " x " + std::to_string(cols) + ", beyond " +
             std::to_string(beyond));
        check(rows, cols, beyond);
      }
    }
  }
}

template <class T>
void check_padding(Matrix<T>& matrix, int64_t of_rows) {
  for (int64_t r = 0; r < of_rows; ++r) {
    for (int64_t c = matrix.cols; c < matrix.stride; ++c) REQUIRE(matrix.at(r, c) == T(7));
  }
}

TEMPLATE_TEST_CASE("copied rows are followed by rows of zeros", "", float, uint16_t) {
  for_sizes([](int64_t rows, int64_t cols, int64_t beyond) {
    auto from = Matrix<TestType>::numbered(rows, cols);
    Matrix<TestType> to(rows + beyond, cols);
    copy_rows(from.read(), to.written());
    for (int64_t r = 0; r < to.rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) REQUIRE(to.at(r, c) == from.or_zero(r, c));
    }
    check_padding(to, to.rows);
  });
}

TEMPLATE_TEST_CASE("transposed rows are followed by columns of zeros", "", float, uint16_t) {
  for_sizes([](int64_t rows, int64_t cols, int64_t beyond) {
    auto from = Matrix<TestType>::numbered(rows, cols);
    Matrix<TestType> to(cols, rows + beyond);
    transpose_rows(from.read(), to.written());
    for (int64_t r = 0; r < cols; ++r) {
      for (int64_t c = 0; c < to.cols; ++c) REQUIRE(to.at(r, c) == from.or_zero(c, r));
    }
    check_padding(to, cols);
  });
}

TEST_CASE("paired rows hold number j of rows 2 i and 2 i + 1 side by side") {
  for_sizes([](int64_t rows, int64_t cols, int64_t beyond) {
    auto from = Matrix<uint16_t>::numbered(rows, cols);
    const int64_t even = (rows + beyond + 1) / 2 * 2;
    Matrix<uint16_t> to(even, cols);
    pair_rows(from.read(), to.written());
    for (int64_t r = 0; r < even; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const auto at = static_cast<size_t>((r / 2 * to.stride + c) * 2 + r % 2);
        REQUIRE(to.numbers[at] == from.or_zero(r, c));
      }
    }
  });
}

TEST_CASE("pairs of a transpose are the pairs of its rows, at even and odd strides") {
  for_sizes([](int64_t rows, int64_t cols, int64_t beyond) {
    const int64_t even = cols / 2 * 2;
    for (const int64_t padding : {2, 3}) {
      auto from = Matrix<uint16_t>::numbered(rows, even, padding);
      Matrix<uint16_t> to(even, rows + beyond);
      pair_transposed_rows(from.read(), to.written());
      for (int64_t r = 0; r < even; ++r) {
        for (int64_t c = 0; c < to.cols; ++c) {
          const auto at = static_cast<size_t>((r / 2 * to.stride + c) * 2 + r % 2);
          REQUIRE(to.numbers[at] == from.or_zero(c, r));
        }
      }
    }
  });
}

// The upper half of an fp32 number is the bf16 number where nothing is to be rounded.
uint16_t as_bf16(float value) {
  uint32_t bits;
  static_assert(sizeof bits == sizeof value);
  std::copy_n(reinterpret_cast<const char*>(&value), sizeof bits, reinterpret_cast<char*>(&bits));
  return static_cast<uint16_t>(bits >> 16);
}

TEST_CASE("rounded rows and rounded transposes hold the same numbers") {
  for_sizes([](int64_t rows, int64_t cols, int64_t /*beyond*/) {
    auto from = Matrix<float>::numbered(rows, cols);
    Matrix<float> same(rows, cols), turned(cols, rows);
    Matrix<uint16_t> half(rows, cols), turned_half(cols, rows);
    round_rows(from.read(), same.written());
    round_rows(from.read(), half.written());
    round_transposed(from.read(), turned.written());
    round_transposed(from.read(), turned_half.written());
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        REQUIRE(same.at(r, c) == from.at(r, c));
        REQUIRE(turned.at(c, r) == from.at(r, c));
        REQUIRE(half.at(r, c) == as_bf16(from.at(r, c)));
        REQUIRE(turned_half.at(c, r) == as_bf16(from.at(r, c)));
      }
    }
    check_padding(half, rows);
    check_padding(turned_half, cols);
  });
}

TEST_CASE("rounding goes to the nearest bf16 number, ties to the even one") {
  constexpr float kStep = 1.0F / 128;  // between bf16 numbers from 1 to 2
  const std::vector<float> given = {1 + kStep / 2, 1 + 3 * kStep / 2, 1 + 0.6F * kStep, -1.0F};
  const std::vector<float> expected = {1, 1 + 2 * kStep, 1 + kStep, -1};
  std::vector<uint16_t> rounded(given.size());
  const auto count = static_cast<int64_t>(given.size());
  round_rows({given.data(), count, 1, count}, RowsOf<uint16_t>{rounded.data(), count, 1, count});
  for (size_t i = 0; i < given.size(); ++i) CHECK(rounded[i] == as_bf16(expected[i]));
}

}  // namespace
}  // namespace littlebit
