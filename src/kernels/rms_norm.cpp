// A row at a time, which stays in the cache: once for its sums, once for its result.
#include "littlebit/kernels/rms_norm.h"

#include <algorithm>
#include <cmath>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

template <class X, class Y>
LITTLEBIT_LOOP void norm_loop(const RmsNormJob<X, Y>* job, int64_t row_begin, int64_t row_end) {
  const int64_t cols = job->cols;
  const float* weight = job->weight;
  for (int64_t r = row_begin; r < row_end; ++r) {
    const X* x = job->x + r * cols;
    if (job->added != nullptr) {
      const X* added = job->added + r * cols;
      X* sum = job->sum + r * cols;
      for (int64_t c = 0; c < cols; ++c) store(sum + c, widen(x[c]) + widen(added[c]));
      // The norm is of the sum as it is stored, which is what the backward pass will read.
      x = sum;
    }
    const float squares = sum_of(cols, [x](int64_t c) { return widen(x[c]) * widen(x[c]); });
    // eps is inside the root, as in Hugging Face's norms.
    const float scale = 1 / std::sqrt(squares / static_cast<float>(cols) + job->eps);
    Y* y = job->y + r * cols;
    const float offset = job->offset;
    for (int64_t c = 0; c < cols; ++c) store(y + c, widen(x[c]) * scale * (weight[c] + offset));
  }
}

// With x^ = x * scale and g = dy * (weight + offset): dx = scale * (g - x^ * mean(g * x^)).
template <class X, class Y>
LITTLEBIT_LOOP void gradient_loop(const RmsNormGradientJob<X, Y>* job, int64_t part_begin,
                                  int64_t part_end) {
  const int64_t cols = job->cols;
  const float* weight = job->weight;
  const float offset = job->offset;
  for (int64_t part = part_begin; part < part_end; ++part) {
    float* partial = job->partial + part * cols;
    std::fill(partial, partial + cols, 0.0F);
    const int64_t first = part * job->kRowsOfPart;
    for (int64_t r = first; r < std::min(job->rows, first + job->kRowsOfPart); ++r) {
      const X* x = job->x + r * cols;
      const Y* dy = job->dy + r * cols;
      const float squares = sum_of(cols, [x](int64_t c) { return widen(x[c]) * widen(x[c]); });
      // Both sums in fp32, by lanes (floats.h), so that they do not depend on the instruction set.
      const float products = sum_of(cols, [x, dy, weight, offset](int64_t c) {
        return widen(dy[c]) * (weight[c] + offset) * widen(x[c]);
      });
      const auto count = static_cast<float>(cols);
      const float scale = 1 / std::sqrt(squares / count + job->eps);
      // x^ mean(g x^) = x * (scale^2 mean(g x)): x^ is never stored.
      const float back = products / count * scale * scale;
      X* dx = job->dx + r * cols;
      // Two loops, rather than a test for every number. The weight's gradient is summed over the
      // rows of a part, in their order.
      if (job->d_sum != nullptr) {
        const X* d_sum = job->d_sum + r * cols;
        for (int64_t c = 0; c < cols; ++c) {
          const float g = widen(dy[c]) * (weight[c] + offset);
          store(dx + c, scale * (g - widen(x[c]) * back) + widen(d_sum[c]));
          partial[c] += widen(dy[c]) * (widen(x[c]) * scale);
        }
      } else {
        for (int64_t c = 0; c < cols; ++c) {
          const float g = widen(dy[c]) * (weight[c] + offset);
          store(dx + c, scale * (g - widen(x[c]) * back));
          partial[c] += widen(dy[c]) * (widen(x[c]) * scale);
        }
      }
    }
  }
}

}  // namespace

void rms_norm_rows(const RmsNormJob<float, float>& job, int64_t row_begin, int64_t row_end,
                   Instructions use) {
  run_variant<norm_loop<float, float>>(use, &job, row_begin, row_end);
}
void rms_norm_rows(const RmsNormJob<float, uint16_t>& job, int64_t row_begin, int64_t row_end,
                   Instructions use) {
  run_variant<norm_loop<float, uint16_t>>(use, &job, row_begin, row_end);
}
void rms_norm_rows(const RmsNormJob<uint16_t, uint16_t>& job, int64_t row_begin, int64_t row_end,
                   Instructions use) {
  run_variant<norm_loop<uint16_t, uint16_t>>(use, &job, row_begin, row_end);
}

void rms_norm_gradient(const RmsNormGradientJob<float, float>& job, int64_t part_begin,
                       int64_t part_end, Instructions use) {
  run_variant<gradient_loop<float, float>>(use, &job, part_begin, part_end);
}
void rms_norm_gradient(const RmsNormGradientJob<float, uint16_t>& job, int64_t part_begin,
                       int64_t part_end, Instructions use) {
  run_variant<gradient_loop<float, uint16_t>>(use, &job, part_begin, part_end);
}
void rms_norm_gradient(const RmsNormGradientJob<uint16_t, uint16_t>& job, int64_t part_begin,
                       int64_t part_end, Instructions use) {
  run_variant<gradient_loop<uint16_t, uint16_t>>(use, &job, part_begin, part_end);
}

}  // namespace littlebit
