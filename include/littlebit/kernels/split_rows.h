// fp32 numbers as sums of three in bf16, and what stands around products of such parts. Plain loops
// over blocks of rows; no allocation, no threads; safe to call from several threads.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"
#include "littlebit/kernels/row_layouts.h"

namespace littlebit {

// to[0] + to[1] + to[2] = x * scale: 8 + 8 + 8 bits are the 24 of fp32, so that nothing is lost (of
// numbers below 2^-102 the last bits, where products take denormal numbers for 0). Of infinity the
// other parts are no numbers.
struct RowSplit {
  RowsOf<const float> x;
  const float* scale;  // [cols of x]; nullptr: ones
  uint16_t* to[3];     // [rows, stride] each, with zeros beyond x
  int64_t stride, rows, cols;
};
void split_rows(const RowSplit& split, Instructions use = best_instructions());

// y [rows, cols] = x * scale, or what is there and that. scale [cols]; nullptr: ones.
struct RowEnd {
  RowsOf<const float> x;
  const float* scale;
  float* y;
  int64_t y_stride;
  bool adds;
};
void end_rows(const RowEnd& end, Instructions use = best_instructions());

}  // namespace littlebit
