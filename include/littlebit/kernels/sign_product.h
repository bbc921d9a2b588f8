// Products with sign matrices straight from their bits, for few rows of x (generation): every 4
// columns of x become a table of their 16 signed sums, and 4 bits of the matrix pick from it.
//
// Interleaved layout: rows in blocks of 16, columns in words of 32; word w of row r is
// words[((r / 16) * words_per_row + w) * 16 + r % 16], bit b of it is column 32 w + b, 1 = -1. Bits
// beyond the matrix are 0. fp32 sums. No threads of its own; safe to call from several threads on
// disjoint blocks. The instruction set is chosen at run time; plain C++ where there is no other.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

struct InterleavedSigns {
  static constexpr int64_t kBlock = 16;

  const uint32_t* words;
  int64_t rows, cols;

  int64_t words_per_row() const { return (cols + 31) / 32; }
  int64_t blocks() const { return (rows + kBlock - 1) / kBlock; }
  int64_t num_words() const { return blocks() * words_per_row() * kBlock; }
};

// Row r of the matrix are the bits first_bit + r * row_bits .. + cols of `from` (signs.h); fills
// all num_words() words `to`.
void interleave_signs(const uint32_t* from, int64_t first_bit, int64_t row_bits, int64_t rows,
                      int64_t cols, uint32_t* to);

// out[r * out_stride + c] = sign(r, c) * (row_scale ? row_scale[r] : 1) * (column_scale ?
// column_scale[c] : 1) for rows [row_begin, row_end), at most one scale; exact. uint16_t stands for
// bfloat16.
template <class T>
struct InterleavedExpansion {
  InterleavedSigns signs;
  const T* row_scale;
  const T* column_scale;
  T* out;  // of row row_begin
  int64_t out_stride;
};
// Of rows [begin, end): the job of whoever does it elsewhere.
template <class T>
struct InterleavedRows {
  InterleavedExpansion<T> expansion;
  int64_t begin, end;
};
void expand_interleaved(const InterleavedExpansion<float>& job, int64_t row_begin, int64_t row_end,
                        Instructions use = best_instructions());
void expand_interleaved(const InterleavedExpansion<double>& job, int64_t row_begin, int64_t row_end,
                        Instructions use = best_instructions());
void expand_interleaved(const InterleavedExpansion<uint16_t>& job, int64_t row_begin,
                        int64_t row_end, Instructions use = best_instructions());

// Floats of the tables of x[cols]: 4 per column, 64-byte aligned memory of the caller's.
inline int64_t sign_table_size(int64_t cols) { return (cols + 31) / 32 * 128; }

// tables[4 c + m], c a multiple of 4, m < 16: the sum over k < 4 of +- x[c + k] * scale[c + k],
// minus where bit k of m is set. Columns beyond `cols` count as 0. scale: may be null.
void build_sign_tables(const float* x, const float* scale, int64_t cols, float* tables,
                       Instructions use = best_instructions());

// y[r] = sum over c of sign(r, c) x[c] for the rows of blocks [block_begin, block_end); 16 floats
// are written per block, those of rows beyond the matrix without meaning.
void multiply_signs(const InterleavedSigns& signs, const float* tables, int64_t block_begin,
                    int64_t block_end, float* y, Instructions use = best_instructions());

// Sums of products for several rows of x, and several of them at once: the job of whoever does it
// elsewhere. Row m of y, at y + m * y_stride: the sum over terms of ((x * in_scale) S^T) *
// out_scale, plus bias, with m's row of x at x + m * x_stride. T: float or uint16_t, which stands
// for bfloat16; fp32 sums. The matrices of a sum have as many rows. The list is the host's.
template <class T>
struct SignTerm {
  InterleavedSigns signs;
  const T* x;
  const float* in_scale;  // or null
  const float* out_scale;
};
template <class T>
struct SignSum {
  static constexpr int64_t kMaxTerms = 2;
  SignTerm<T> terms[kMaxTerms];
  int64_t count;
  T* y;
  const float* bias;  // or null
};
template <class T>
struct SignSums {
  const SignSum<T>* sums;
  int64_t count;
  int64_t x_rows, x_stride, y_stride;
};

// The plain twin, from x itself: y[rows].
void multiply_signs_plain(const InterleavedSigns& signs, const float* x, const float* scale,
                          float* y);

// y[r] = sum over c of x[c] * w[r * cols + c], w in bfloat16, for rows [row_begin, row_end): a head
// as it is stored.
void multiply_bf16(const uint16_t* w, int64_t cols, const float* x, int64_t row_begin,
                   int64_t row_end, float* y, Instructions use = best_instructions());

}  // namespace littlebit
