// Plain loops of fixed trip counts over parts of a group, which the compiler turns into vectors.
#include "littlebit/kernels/grouped_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "variants.h"

namespace littlebit {
namespace {

constexpr int64_t kPart = 16;  // columns of an inner loop; sizes are multiples of twice as many
constexpr int kMin = -8;       // 4 bits: -8 .. 7
constexpr int kMinWide = -128;

LITTLEBIT_LOOP float widen_bf16(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

// To the nearest, ties to even; finite numbers.
LITTLEBIT_LOOP uint16_t round_bf16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits += 0x7FFF + ((bits >> 16) & 1);
  return static_cast<uint16_t>(bits >> 16);
}

// The whole number next to x (ties to even), at most `high`, at least `low`.
LITTLEBIT_LOOP float nearest(float x, float low, float high) {
  // Adding it rounds to a whole number, and subtracting it leaves that number; the inner clamp
  // keeps x small enough for this.
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: numbers above have no fraction
  return std::min(high, std::max(low, std::min(high, std::max(low, x)) + kShift - kShift));
}

// kPart numbers from column `first` of a group on.
LITTLEBIT_LOOP void unpack(const uint8_t* group, const GroupedShape& shape, int64_t first,
                           float* out) {
  if (shape.bits == 8) {
    int8_t part[kPart];
    std::memcpy(part, group + first, sizeof(part));
    for (int64_t i = 0; i < kPart; ++i) out[i] = static_cast<float>(part[i]);
    return;
  }
  const int64_t half = shape.size / 2;
  const bool high = first >= half;
  const uint8_t* bytes = group + (high ? first - half : first);
  for (int64_t i = 0; i < kPart; ++i) {
    out[i] = static_cast<float>((high ? bytes[i] >> 4 : bytes[i] & 15) + kMin);
  }
}

// Squared error of a group with a scale.
LITTLEBIT_LOOP float squared_error(const float* group, int64_t size, float scale, float low) {
  const float inverse = 1 / scale;
  float sums[kPart] = {};
  for (int64_t c = 0; c < size; c += kPart) {
    for (int64_t i = 0; i < kPart; ++i) {
      const float gap = group[c + i] - scale * nearest(group[c + i] * inverse, low, -1 - low);
      sums[i] += gap * gap;
    }
  }
  float sum = 0;
  for (const float part : sums) sum += part;
  return sum;
}

// Tries scales around the one that maps the group's largest number to the end of the range, with 4
// bits from 5 % above it to 37.5 % below, and takes the one with the smallest squared error.
LITTLEBIT_LOOP uint16_t best_scale(const float* group, const GroupedShape& shape) {
  // Scales below that of the largest number clip it and are finer for all others. With 8 bits that
  // is not worth it: the next bfloat16 on either side is tried.
  const int wider = shape.bits == 8 ? 1 : 2, finer = shape.bits == 8 ? 1 : 15;
  const float step = shape.bits == 8 ? 0.004F : 0.025F;
  float largest = 0;  // with its sign: the range reaches further down than up
  for (int64_t c = 0; c < shape.size; ++c) {
    if (std::abs(group[c]) > std::abs(largest)) largest = group[c];
  }
  const auto low = static_cast<float>(shape.bits == 8 ? kMinWide : kMin);
  uint16_t best = 0;
  float least = 0;
  for (int k = -wider; k <= finer; ++k) {
    const uint16_t scale = round_bf16(largest / low * (1 - step * static_cast<float>(k)));
    const float value = widen_bf16(scale);
    // A group of zeros, or of numbers so small that 1 / scale is not finite: it becomes zeros.
    if (value == 0 || !std::isfinite(1 / value)) return 0;
    const float error = squared_error(group, shape.size, value, low);
    if (k > -wider && !(error < least)) continue;
    best = scale;
    least = error;
  }
  return best;
}

LITTLEBIT_LOOP void group(const float* row, int64_t cols, const GroupedShape* shape,
                          uint8_t* numbers, uint16_t* scales) {
  constexpr int64_t kMaxColumns = 256;
  const int64_t size = shape->size, half = size / 2;
  const auto low = static_cast<float>(shape->bits == 8 ? kMinWide : kMin);
  for (int64_t g = 0; g < shape->groups; ++g) {
    // Padded with zeros to a whole group, as it is stored.
    float values[kMaxColumns] = {};
    const int64_t count = std::clamp<int64_t>(cols - g * size, 0, size);
    std::copy(row + g * size, row + g * size + count, values);
    scales[g] = best_scale(values, *shape);
    const float scale = widen_bf16(scales[g]), inverse = scale == 0 ? 0 : 1 / scale;
    for (int64_t c = 0; c < size; ++c) values[c] = nearest(values[c] * inverse, low, -1 - low);
    uint8_t* bytes = numbers + g * size * shape->bits / 8;
    if (shape->bits == 8) {
      for (int64_t c = 0; c < size; ++c) {
        bytes[c] = static_cast<uint8_t>(static_cast<int8_t>(values[c]));
      }
    } else {
      for (int64_t c = 0; c < half; ++c) {
        bytes[c] = static_cast<uint8_t>((static_cast<int>(values[c]) - kMin) |
                                        (static_cast<int>(values[half + c]) - kMin) << 4);
      }
    }
  }
}

LITTLEBIT_LOOP void widen(const GroupedView* view, int64_t cols, int64_t row_begin, int64_t row_end,
                          float* out) {
  const GroupedShape& shape = view->shape;
  for (int64_t r = row_begin; r < row_end; ++r, out += cols) {
    const uint8_t* numbers = view->numbers + r * shape.row_bytes();
    for (int64_t c = 0; c < cols; c += kPart) {
      const int64_t g = c / shape.size, count = std::min(kPart, cols - c);
      const float scale = widen_bf16(view->scales[r * shape.groups + g]);
      float part[kPart];
      unpack(numbers + g * shape.size * shape.bits / 8, shape, c - g * shape.size, part);
      for (float& value : part) value *= scale;
      std::memcpy(out + c, part, static_cast<size_t>(count) * sizeof(float));
    }
  }
}

LITTLEBIT_LOOP void multiply(const GroupedView* view, const float* x, int64_t row_begin,
                             int64_t row_end, float* y) {
  const GroupedShape& shape = view->shape;
  for (int64_t r = row_begin; r < row_end; ++r) {
    const uint8_t* numbers = view->numbers + r * shape.row_bytes();
    float sums[kPart] = {};
    for (int64_t g = 0; g < shape.groups; ++g) {
      // The scale is taken out of the sum over a group: one multiplication by it per lane and group
      // instead of per number.
      float of_group[kPart] = {}, part[kPart];
      for (int64_t c = 0; c < shape.size; c += kPart) {
        unpack(numbers, shape, c, part);
        const float* from = x + g * shape.size + c;
        for (int64_t i = 0; i < kPart; ++i) of_group[i] += part[i] * from[i];
      }
      const float scale = widen_bf16(view->scales[r * shape.groups + g]);
      for (int64_t i = 0; i < kPart; ++i) sums[i] += scale * of_group[i];
      numbers += shape.size * shape.bits / 8;
    }
    for (int64_t half = kPart / 2; half > 0; half /= 2) {
      for (int64_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    y[r] = sums[0];
  }
}

}  // namespace

void group_row(const float* row, int64_t cols, const GroupedShape& shape, uint8_t* numbers,
               uint16_t* scales, Instructions use) {
  run_variant<group>(use, row, cols, &shape, numbers, scales);
}

void widen_grouped(const GroupedView& view, int64_t cols, int64_t row_begin, int64_t row_end,
                   float* out, Instructions use) {
  run_variant<widen>(use, &view, cols, row_begin, row_end, out);
}

void multiply_grouped(const GroupedView& view, const float* x, int64_t row_begin, int64_t row_end,
                      float* y, Instructions use) {
  run_variant<multiply>(use, &view, x, row_begin, row_end, y);
}

}  // namespace littlebit
