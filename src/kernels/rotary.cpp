// A head's numbers at a time: all heads of a position use the same sines.
#include "littlebit/kernels/rotary.h"

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

template <class T>
LITTLEBIT_LOOP void rotary_loop(const RotaryJob<T>* job, int64_t row_begin, int64_t row_end) {
  const int64_t half = job->half, size = job->size;
  const float direction = job->back ? -1.0F : 1.0F;
  for (int64_t r = row_begin; r < row_end; ++r) {
    // Rows are counted by batch, position, head: neighbours differ in the head and share sines.
    const int64_t place[3] = {r / (job->length * job->heads), r % job->heads,
                              r / job->heads % job->length};
    const T* x = job->x;
    T* y = job->y;
    for (int i = 0; i < 3; ++i) {
      x += place[i] * job->x_strides[i];
      y += place[i] * job->y_strides[i];
    }
    const float* cos = job->cos + place[2] * half;
    const float* sin = job->sin + place[2] * half;
    for (int64_t i = 0; i < half; ++i) {
      // (x_i, x_(i + half)) is turned as a point in the plane; backwards by the negative angle,
      // whose sine is the negative one.
      const float first = widen(x[i]), second = widen(x[half + i]), turn = direction * sin[i];
      store(y + i, first * cos[i] - second * turn);
      store(y + half + i, second * cos[i] + first * turn);
    }
    for (int64_t i = 2 * half; i < size; ++i) y[i] = x[i];
  }
}

}  // namespace

void rotate_rows(const RotaryJob<float>& job, int64_t row_begin, int64_t row_end,
                 Instructions use) {
  run_variant<rotary_loop<float>>(use, &job, row_begin, row_end);
}
void rotate_rows(const RotaryJob<uint16_t>& job, int64_t row_begin, int64_t row_end,
                 Instructions use) {
  run_variant<rotary_loop<uint16_t>>(use, &job, row_begin, row_end);
}

}  // namespace littlebit
