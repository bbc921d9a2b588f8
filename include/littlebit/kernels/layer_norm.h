// Layer norms of rows, with the sum that they are often taken of, and their derivative. Plain
// loops; no allocation, no threads of their own; safe to call from several threads on disjoint
// rows. Elements are float, or uint16_t for bfloat16; sums run over fp32, the mean's before those
// of what is left.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// y = (x - mean(x)) * rsqrt(variance(x) + eps) * weight + bias by rows of `cols`, which lie one
// behind the other; the variance is that of all numbers of a row. With `added` the norm is of
// x + added, which is written to `sum`.
template <class X, class Y>
struct LayerNormJob {
  const X* x;
  const X* added;  // or null
  const float* weight;
  const float* bias;
  X* sum;  // null without `added`
  Y* y;
  int64_t rows, cols;
  float eps;
};

// dx = the derivative by x of the sum over dy * y, plus `d_sum` (or null); partial[p] [2, cols] =
// those by weight and bias over the rows of part p. Parts have kRowsOfPart rows: their sums do not
// depend on who does them.
template <class X, class Y>
struct LayerNormGradientJob {
  static constexpr int64_t kRowsOfPart = 64;
  const Y* dy;
  const X* x;  // what the norm was of
  const float* weight;
  const X* d_sum;
  X* dx;
  float* partial;
  int64_t rows, cols;
  float eps;

  int64_t parts() const { return (rows + kRowsOfPart - 1) / kRowsOfPart; }
};

void layer_norm_rows(const LayerNormJob<float, float>& job, int64_t row_begin, int64_t row_end,
                     Instructions use = best_instructions());
void layer_norm_rows(const LayerNormJob<float, uint16_t>& job, int64_t row_begin, int64_t row_end,
                     Instructions use = best_instructions());
void layer_norm_rows(const LayerNormJob<uint16_t, uint16_t>& job, int64_t row_begin,
                     int64_t row_end, Instructions use = best_instructions());

void layer_norm_gradient(const LayerNormGradientJob<float, float>& job, int64_t part_begin,
                         int64_t part_end, Instructions use = best_instructions());
void layer_norm_gradient(const LayerNormGradientJob<float, uint16_t>& job, int64_t part_begin,
                         int64_t part_end, Instructions use = best_instructions());
void layer_norm_gradient(const LayerNormGradientJob<uint16_t, uint16_t>& job, int64_t part_begin,
                         int64_t part_end, Instructions use = best_instructions());

}  // namespace littlebit
