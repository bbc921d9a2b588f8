// Sign bits and their expansion: the compute copy of a binary factor is one bit per latent.
//
// Layout: bit i of a buffer is bit (i % 32) of 32-bit word i / 32, least significant first; bit =
// (v < 0), so 1 stands for -1 and both zeros and NaN stand for +1 (specs section 1). A matrix
// [rows, cols] is the bits first + r * cols + c, no padding between rows. Plain loops; no
// allocation, no threads of their own; safe to call from several threads on disjoint output.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// words[ceil(n / 32)] = the sign bits of latents[0, n); bits beyond n in the last word are 0.
// Returns how many of the n bits differ from what `words` held before.
int64_t pack_signs(const float* latents, int64_t n, uint32_t* words,
                   Instructions use = best_instructions());
int64_t pack_signs(const double* latents, int64_t n, uint32_t* words,
                   Instructions use = best_instructions());

// The same of 32 latents a word, the changes added to `flips`: the job of whoever does it
// elsewhere.
template <class T>
struct SignPacking {
  const T* latents;
  int64_t num_words;
  uint32_t* words;
  int64_t* flips;
};

// One element per scale entry; `uint16_t` stands for bfloat16.
// out[r * out_stride + c] = sign(r, c) * (row_scale ? row_scale[r] : 1) * (column_scale ?
// column_scale[c] : 1), where at most one of the scales is given. Exact: only the sign bit of a
// scale changes.
template <class T>
struct SignExpansion {
  const uint32_t* words;
  int64_t first_bit;
  int64_t rows, cols;
  const T* row_scale;
  const T* column_scale;
  T* out;
  int64_t out_stride;
};
// Several at once: the job of whoever does it elsewhere. The list is the host's.
template <class T>
struct SignExpansions {
  const SignExpansion<T>* jobs;
  int64_t count;
};
void expand_signs(const SignExpansion<float>& job, int64_t row_begin, int64_t row_end,
                  Instructions use = best_instructions());
void expand_signs(const SignExpansion<double>& job, int64_t row_begin, int64_t row_end,
                  Instructions use = best_instructions());
void expand_signs(const SignExpansion<uint16_t>& job, int64_t row_begin, int64_t row_end,
                  Instructions use = best_instructions());

// Copies `cols` bits per row between bit offsets: the export's row padding and this layout's lack
// of it. Destination bits outside the rows are left as they are.
void copy_bit_rows(const uint32_t* from, int64_t from_first, int64_t from_stride, uint32_t* to,
                   int64_t to_first, int64_t to_stride, int64_t rows, int64_t cols);

}  // namespace littlebit
