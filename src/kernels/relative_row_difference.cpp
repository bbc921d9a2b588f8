// A row at a time, which stays in the cache: once for its norms, once for its direction.
#include "littlebit/kernels/relative_row_difference.h"

#include <algorithm>
#include <limits>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

template <class D>
LITTLEBIT_LOOP void direction_loop(const RelativeRowDifferenceJob<D>* job, int64_t row_begin,
                                   int64_t row_end) {
  const int64_t cols = job->cols;
  for (int64_t r = row_begin; r < row_end; ++r) {
    const float* a = job->a + r * cols;
    const float* b = job->b + r * cols;
    const float power = sum_of(cols, [b](int64_t c) { return b[c] * b[c]; });
    const float squares = sum_of(cols, [a, b](int64_t c) { return (a[c] - b[c]) * (a[c] - b[c]); });
    // A row of zeros does not divide by zero; NaN stays NaN.
    const float scale = 1 / std::max(power, std::numeric_limits<float>::min());
    D* direction = job->direction + r * cols;
    for (int64_t c = 0; c < cols; ++c) store(direction + c, (a[c] - b[c]) * scale);
    // The product may be beyond fp32 where the teacher's row is all but zero.
    job->error[r] = static_cast<double>(squares) * scale;
  }
}

}  // namespace

void relative_difference_of_rows(const RelativeRowDifferenceJob<float>& job, int64_t row_begin,
                                 int64_t row_end, Instructions use) {
  run_variant<direction_loop<float>>(use, &job, row_begin, row_end);
}
void relative_difference_of_rows(const RelativeRowDifferenceJob<uint16_t>& job, int64_t row_begin,
                                 int64_t row_end, Instructions use) {
  run_variant<direction_loop<uint16_t>>(use, &job, row_begin, row_end);
}

}  // namespace littlebit
