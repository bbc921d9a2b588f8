// Matrices of 8- or 4-bit integers, groups of neighbours in a row sharing a scale: exported
// embeddings and LM heads.
//
// A row is `groups` groups of `size` columns, a multiple of 32, at most 256. With 8 bits a group is
// `size` bytes of two's complement. With 4 bits it is size / 2 bytes: byte i has column i in its
// low half and column size / 2 + i in its high half, each as the number plus 8. An entry is number
// * scale, the scale a bfloat16 (uint16_t here). Columns of the last group beyond the matrix are 0.
//
// No threads of its own; safe to call from several threads on disjoint rows.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

struct GroupedShape {
  int bits;  // 8 or 4
  int64_t groups, size;

  int64_t padded_cols() const { return groups * size; }
  int64_t row_bytes() const { return padded_cols() * bits / 8; }
};

struct GroupedView {
  GroupedShape shape;
  const uint8_t* numbers;  // row_bytes() a row
  const uint16_t* scales;  // `groups` a row
};

// The numbers and scales of a row of `cols` floats (finite): of some scales around the one by which
// the largest number of a group is the range's end, that with the least squared error.
void group_row(const float* row, int64_t cols, const GroupedShape& shape, uint8_t* numbers,
               uint16_t* scales, Instructions use = best_instructions());

// out[(r - row_begin) * cols + c] = entry (r, c) for rows [row_begin, row_end); exact.
void widen_grouped(const GroupedView& view, int64_t cols, int64_t row_begin, int64_t row_end,
                   float* out, Instructions use = best_instructions());

// y[r] = sum over c of x[c] * entry (r, c) for rows [row_begin, row_end), in fp32. x has
// padded_cols() numbers.
void multiply_grouped(const GroupedView& view, const float* x, int64_t row_begin, int64_t row_end,
                      float* y, Instructions use = best_instructions());

}  // namespace littlebit
