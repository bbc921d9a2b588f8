// Digits are cut off, not rounded: that takes half the instructions, and what is left after two
// cuts fits a third part all the same.
#include "littlebit/kernels/split_rows.h"

#include <algorithm>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

constexpr uint32_t kHighHalf = 0xFFFF0000;  // what of an fp32 number is one in bf16

LITTLEBIT_LOOP void split_loop(const RowSplit* split) {
  const int64_t cols = split->x.cols;
  for (int64_t row = 0; row < split->rows; ++row) {
    uint16_t* const high = split->to[0] + row * split->stride;
    uint16_t* const middle = split->to[1] + row * split->stride;
    uint16_t* const low = split->to[2] + row * split->stride;
    int64_t filled = 0;
    if (row < split->x.rows) {
      const float* x = split->x.data + row * split->x.stride;
      const float* scale = split->scale;
      const auto part = [&](int64_t i, float value) {
        // Cutting off the lower half of the bits leaves a number in bf16. The difference is exact
        // in fp32, and again has its leading bits in the upper half; after two cuts at most 8 bits
        // are left.
        const uint32_t first = float_to_bits(value) & kHighHalf;
        const float rest = value - bits_to_float(first);
        const uint32_t second = float_to_bits(rest) & kHighHalf;
        const uint32_t third = float_to_bits(rest - bits_to_float(second));
        high[i] = static_cast<uint16_t>(first >> 16);
        middle[i] = static_cast<uint16_t>(second >> 16);
        low[i] = static_cast<uint16_t>(third >> 16);
      };
      if (scale == nullptr) {
        for (int64_t i = 0; i < cols; ++i) part(i, x[i]);
      } else {
        for (int64_t i = 0; i < cols; ++i) part(i, x[i] * scale[i]);
      }
      filled = cols;
    }
    // Zeros beside and below: tiles read them.
    for (uint16_t* const to : {high, middle, low}) {
      std::fill(to + filled, to + split->cols, uint16_t{0});
    }
  }
}

template <bool kAdds, bool kScales>
LITTLEBIT_LOOP void end_loop(const RowEnd* end) {
  for (int64_t row = 0; row < end->x.rows; ++row) {
    const float* x = end->x.data + row * end->x.stride;
    const float* scale = end->scale;
    float* y = end->y + row * end->y_stride;
    for (int64_t i = 0; i < end->x.cols; ++i) {
      const float value = kScales ? x[i] * scale[i] : x[i];
      y[i] = kAdds ? y[i] + value : value;
    }
  }
}

}  // namespace

void split_rows(const RowSplit& split, Instructions use) { run_variant<split_loop>(use, &split); }

void end_rows(const RowEnd& end, Instructions use) {
  const bool scales = end.scale != nullptr;
  if (end.adds) {
    scales ? run_variant<end_loop<true, true>>(use, &end)
           : run_variant<end_loop<true, false>>(use, &end);
  } else {
    scales ? run_variant<end_loop<false, true>>(use, &end)
           : run_variant<end_loop<false, false>>(use, &end);
  }
}

}  // namespace littlebit
