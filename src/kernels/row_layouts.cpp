// Squares of 4 by 4 words are transposed in registers, and pairs of bf16 numbers count as words: a
// transpose number by number costs as much as a small product.
#include "littlebit/kernels/row_layouts.h"

#include <algorithm>
#include <cstring>

#include "floats.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace littlebit {
namespace {

template <class T>
void copy(const RowsOf<const T>& from, const RowsOf<T>& to) {
  for (int64_t row = 0; row < to.rows; ++row) {
    T* y = to.data + row * to.stride;
    if (row < from.rows) {
      std::copy_n(from.data + row * from.stride, to.cols, y);
    } else {
      std::fill_n(y, to.cols, T(0));
    }
  }
}

// to(row, column) = from(column, row), by squares that stay in the first cache.
template <class From, class To>
void transpose(int64_t rows, int64_t cols, const From& from, const To& to) {
  // 16 of them side by side are at least half a line of the cache, on the side that is written.
  constexpr int64_t kSide = 16;
  for (int64_t c = 0; c < cols; c += kSide) {
    const int64_t end = std::min(cols, c + kSide);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = c; i < end; ++i) to(r, i, from(i, r));
    }
  }
}

// Words of four bytes: to [cols, to_stride] = from [rows, from_stride] transposed. Strides in
// words.
void turn_words(const void* from, int64_t from_stride, int64_t rows, int64_t cols, void* to,
                int64_t to_stride) {
  const auto* x = static_cast<const char*>(from);
  auto* y = static_cast<char*>(to);
  int64_t whole_rows = 0, whole_cols = 0;
#if defined(__SSE__)
  whole_rows = rows / 4 * 4;
  whole_cols = cols / 4 * 4;
  for (int64_t r = 0; r < whole_rows; r += 4) {
    for (int64_t c = 0; c < whole_cols; c += 4) {
      __m128 square[4];
      for (int i = 0; i < 4; ++i) {
        // Rows of 4 words need not be aligned.
        std::memcpy(&square[i], x + 4 * ((r + i) * from_stride + c), sizeof square[i]);
      }
      _MM_TRANSPOSE4_PS(square[0], square[1], square[2], square[3]);
      for (int i = 0; i < 4; ++i) {
        std::memcpy(y + 4 * ((c + i) * to_stride + r), &square[i], sizeof square[i]);
      }
    }
  }
#endif
  // What is left over at the right and below.
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = r < whole_rows ? whole_cols : 0; c < cols; ++c) {
      std::memcpy(y + 4 * (c * to_stride + r), x + 4 * (r * from_stride + c), 4);
    }
  }
}

template <class T>
void turn(const RowsOf<const T>& from, const RowsOf<T>& to) {
  const int64_t cols = std::min(from.rows, to.cols);
  if constexpr (sizeof(T) == 4) {
    turn_words(from.data, from.stride, cols, to.rows, to.data, to.stride);
  } else {
    transpose(
        to.rows, cols, [&](int64_t c, int64_t r) { return from.data[c * from.stride + r]; },
        [&](int64_t r, int64_t c, T value) { to.data[r * to.stride + c] = value; });
  }
  for (int64_t row = 0; row < to.rows; ++row) {
    std::fill_n(to.data + row * to.stride + cols, to.cols - cols, T(0));
  }
}

template <class T>
void round(const RowsOf<const float>& from, const RowsOf<T>& to) {
  for (int64_t row = 0; row < to.rows; ++row) {
    const float* x = from.data + row * from.stride;
    T* y = to.data + row * to.stride;
    for (int64_t i = 0; i < to.cols; ++i) store(y + i, x[i]);
  }
}

template <class T>
void round_back(const RowsOf<const float>& from, const RowsOf<T>& to) {
  transpose(
      to.rows, to.cols, [&](int64_t c, int64_t r) { return from.data[c * from.stride + r]; },
      [&](int64_t r, int64_t c, float value) { store(to.data + r * to.stride + c, value); });
}

}  // namespace

void copy_rows(const RowsOf<const float>& from, const RowsOf<float>& to) { copy(from, to); }
void copy_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) { copy(from, to); }

void transpose_rows(const RowsOf<const float>& from, const RowsOf<float>& to) { turn(from, to); }
void transpose_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  turn(from, to);
}

void pair_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  for (int64_t row = 0; row < to.rows; row += 2) {
    const uint16_t* first = from.data + row * from.stride;
    const uint16_t* second = first + from.stride;
    uint16_t* y = to.data + row * to.stride;
    for (int64_t i = 0; row + 1 < from.rows && i < to.cols; ++i) {
      y[2 * i] = first[i];
      y[2 * i + 1] = second[i];
    }
    // The last row of an odd number has zeros as its partner, and so do rows that are not there.
    for (int64_t i = 0; row + 1 >= from.rows && i < to.cols; ++i) {
      y[2 * i] = row < from.rows ? first[i] : uint16_t{0};
      y[2 * i + 1] = 0;
    }
  }
}

void pair_transposed_rows(const RowsOf<const uint16_t>& from, const RowsOf<uint16_t>& to) {
  const int64_t cols = std::min(from.rows, to.cols);
  // Two neighbours of a row, read as one word, are a pair of the transpose: it is words that are
  // transposed.
  if (from.stride % 2 == 0) {
    turn_words(from.data, from.stride / 2, cols, to.rows / 2, to.data, to.stride);
  } else {
    // Every other row begins at half a word.
    transpose(
        to.rows / 2, cols,
        [&](int64_t c, int64_t pair) {
          uint32_t both;
          std::memcpy(&both, from.data + c * from.stride + 2 * pair, sizeof both);
          return both;
        },
        [&](int64_t pair, int64_t c, uint32_t both) {
          std::memcpy(to.data + 2 * (pair * to.stride + c), &both, sizeof both);
        });
  }
  for (int64_t pair = 0; pair < to.rows / 2; ++pair) {
    std::fill_n(to.data + 2 * (pair * to.stride + cols), 2 * (to.cols - cols), uint16_t{0});
  }
}

void round_rows(const RowsOf<const float>& from, const RowsOf<float>& to) { round(from, to); }
void round_rows(const RowsOf<const float>& from, const RowsOf<uint16_t>& to) { round(from, to); }
void round_transposed(const RowsOf<const float>& from, const RowsOf<float>& to) {
  round_back(from, to);
}
void round_transposed(const RowsOf<const float>& from, const RowsOf<uint16_t>& to) {
  round_back(from, to);
}

}  // namespace littlebit
