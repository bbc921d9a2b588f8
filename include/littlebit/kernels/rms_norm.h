// RMS norms of rows, with the sum that they are often taken of, and their derivative. Plain loops;
// no allocation, no threads of their own; safe to call from several threads on disjoint rows.
// Elements are float, or uint16_t for bfloat16; sums run over fp32.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// y = x * rsqrt(mean(x^2) + eps) * (weight + offset) by rows of `cols`, which lie one behind the
// other. With `added` the norm is of x + added, which is written to `sum`.
template <class X, class Y>
struct RmsNormJob {
  const X* x;
  const X* added;  // or null
  const float* weight;
  X* sum;  // null without `added`
  Y* y;
  int64_t rows, cols;
  float eps, offset;
};

// dx = the derivative by x of the sum over dy * y, plus `d_sum` (or null); partial[p] [cols] = that
// by the weight over the rows of part p. Parts have kRowsOfPart rows: their sums do not depend on
// who does them.
template <class X, class Y>
struct RmsNormGradientJob {
  static constexpr int64_t kRowsOfPart = 64;
  const Y* dy;
  const X* x;  // what the norm was of
  const float* weight;
  const X* d_sum;
  X* dx;
  float* partial;
  int64_t rows, cols;
  float eps, offset;

  int64_t parts() const { return (rows + kRowsOfPart - 1) / kRowsOfPart; }
};

void rms_norm_rows(const RmsNormJob<float, float>& job, int64_t row_begin, int64_t row_end,
                   Instructions use = best_instructions());
void rms_norm_rows(const RmsNormJob<float, uint16_t>& job, int64_t row_begin, int64_t row_end,
                   Instructions use = best_instructions());
void rms_norm_rows(const RmsNormJob<uint16_t, uint16_t>& job, int64_t row_begin, int64_t row_end,
                   Instructions use = best_instructions());

void rms_norm_gradient(const RmsNormGradientJob<float, float>& job, int64_t part_begin,
                       int64_t part_end, Instructions use = best_instructions());
void rms_norm_gradient(const RmsNormGradientJob<float, uint16_t>& job, int64_t part_begin,
                       int64_t part_end, Instructions use = best_instructions());
void rms_norm_gradient(const RmsNormGradientJob<uint16_t, uint16_t>& job, int64_t part_begin,
                       int64_t part_end, Instructions use = best_instructions());

}  // namespace littlebit
