// Rotary position embedding of rows. Plain loops; no allocation, no threads of their own; safe to
// call from several threads on disjoint rows. Elements are float, or uint16_t for bfloat16;
// computes in fp32.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

// Of heads [batch, heads, length] of `size` numbers, whose places are told by strides: number i and
// number i + half of position t become first * cos - second * sin and second * cos + first * sin,
// with cos and sin [length, half]; those beyond 2 * half stay. `back`: with -sin, which is the
// derivative.
template <class T>
struct RotaryJob {
  const T* x;
  T* y;
  const float* cos;
  const float* sin;
  int64_t batch, heads, length, size, half;
  int64_t x_strides[3], y_strides[3];
  bool back;

  int64_t rows() const { return batch * heads * length; }
};

// Row r: of batch r / (length * heads), position r / heads % length, head r % heads.
void rotate_rows(const RotaryJob<float>& job, int64_t row_begin, int64_t row_end,
                 Instructions use = best_instructions());
void rotate_rows(const RotaryJob<uint16_t>& job, int64_t row_begin, int64_t row_end,
                 Instructions use = best_instructions());

}  // namespace littlebit
