// A row at a time, which stays in the cache: for its mean, its variance, its result.
#include "littlebit/kernels/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

struct Moments {
  float mean, scale;  // scale: 1 / standard deviation
};

template <class X>
LITTLEBIT_LOOP Moments moments_of(const X* x, int64_t cols, float eps) {
  const auto count = static_cast<float>(cols);
  const float mean = sum_of(cols, [x](int64_t c) { return widen(x[c]); }) / count;
  // In a second pass over the cached row: mean(x^2) - mean^2 would cancel where the mean is large.
  const float squares = sum_of(cols, [x, mean](int64_t c) {
    const float centred = widen(x[c]) - mean;
    return centred * centred;
  });
  return {mean, 1 / std::sqrt(squares / count + eps)};
}

template <class X, class Y>
LITTLEBIT_LOOP void norm_loop(const LayerNormJob<X, Y>* job, int64_t row_begin, int64_t row_end) {
  const int64_t cols = job->cols;
  const float *weight = job->weight, *bias = job->bias;
  for (int64_t r = row_begin; r < row_end; ++r) {
    const X* x = job->x + r * cols;
    if (job->added != nullptr) {
      const X* added = job->added + r * cols;
      X* sum = job->sum + r * cols;
      for (int64_t c = 0; c < cols; ++c) store(sum + c, widen(x[c]) + widen(added[c]));
      // The norm is of the sum as it is stored, which is what the backward pass will read.
      x = sum;
    }
    const Moments of_row = moments_of(x, cols, job->eps);
    Y* y = job->y + r * cols;
    for (int64_t c = 0; c < cols; ++c) {
      store(y + c, (widen(x[c]) - of_row.mean) * of_row.scale * weight[c] + bias[c]);
    }
  }
}

// With x^ = (x - mean) * scale and g = dy * weight: dx = scale * (g - mean(g) - x^ * mean(g * x^)).
template <class X, class Y>
LITTLEBIT_LOOP void gradient_loop(const LayerNormGradientJob<X, Y>* job, int64_t part_begin,
                                  int64_t part_end) {
  const int64_t cols = job->cols;
  const float* weight = job->weight;
  for (int64_t part = part_begin; part < part_end; ++part) {
    float *of_weight = job->partial + 2 * part * cols, *of_bias = of_weight + cols;
    std::fill(of_weight, of_weight + 2 * cols, 0.0F);
    const int64_t first = part * job->kRowsOfPart;
    for (int64_t r = first; r < std::min(job->rows, first + job->kRowsOfPart); ++r) {
      const X* x = job->x + r * cols;
      const Y* dy = job->dy + r * cols;
      const auto [mean, scale] = moments_of(x, cols, job->eps);
      const auto count = static_cast<float>(cols);
      // mean(g) and mean(g (x - mean)), the two sums that the derivative takes away.
      const float level =
          sum_of(cols, [dy, weight](int64_t c) { return widen(dy[c]) * weight[c]; }) / count;
      const float products = sum_of(cols, [x, dy, weight, mean = mean](int64_t c) {
        return widen(dy[c]) * weight[c] * (widen(x[c]) - mean);
      });
      // x^ mean(g x^) = (x - mean) * (scale^2 mean(g (x - mean))): x^ is never stored.
      const float back = products / count * scale * scale;
      X* dx = job->dx + r * cols;
      const X* d_sum = job->d_sum != nullptr ? job->d_sum + r * cols : nullptr;
      for (int64_t c = 0; c < cols; ++c) {
        const float of_y = widen(dy[c]), centred = widen(x[c]) - mean;
        const float more = d_sum != nullptr ? widen(d_sum[c]) : 0.0F;
        store(dx + c, scale * (of_y * weight[c] - level - centred * back) + more);
        of_weight[c] += of_y * (centred * scale);
        of_bias[c] += of_y;
      }
    }
  }
}

}  // namespace

void layer_norm_rows(const LayerNormJob<float, float>& job, int64_t row_begin, int64_t row_end,
                     Instructions use) {
  run_variant<norm_loop<float, float>>(use, &job, row_begin, row_end);
}
void layer_norm_rows(const LayerNormJob<float, uint16_t>& job, int64_t row_begin, int64_t row_end,
                     Instructions use) {
  run_variant<norm_loop<float, uint16_t>>(use, &job, row_begin, row_end);
}
void layer_norm_rows(const LayerNormJob<uint16_t, uint16_t>& job, int64_t row_begin,
                     int64_t row_end, Instructions use) {
  run_variant<norm_loop<uint16_t, uint16_t>>(use, &job, row_begin, row_end);
}

void layer_norm_gradient(const LayerNormGradientJob<float, float>& job, int64_t part_begin,
                         int64_t part_end, Instructions use) {
  run_variant<gradient_loop<float, float>>(use, &job, part_begin, part_end);
}
void layer_norm_gradient(const LayerNormGradientJob<float, uint16_t>& job, int64_t part_begin,
                         int64_t part_end, Instructions use) {
  run_variant<gradient_loop<float, uint16_t>>(use, &job, part_begin, part_end);
}
void layer_norm_gradient(const LayerNormGradientJob<uint16_t, uint16_t>& job, int64_t part_begin,
                         int64_t part_end, Instructions use) {
  run_variant<gradient_loop<uint16_t, uint16_t>>(use, &job, part_begin, part_end);
}

}  // namespace littlebit
