// One pass: what is stored is squared on the way.
#include "littlebit/kernels/squared_difference.h"

#include <algorithm>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

template <class D>
LITTLEBIT_LOOP void difference_loop(const SquaredDifferenceJob<D>* job, int64_t part_begin,
                                    int64_t part_end) {
  constexpr int64_t kBlock = 1024;  // as many as are summed in fp32
  for (int64_t part = part_begin; part < part_end; ++part) {
    const int64_t first = part * job->kPart, last = std::min(job->count, first + job->kPart);
    // A part is summed in fp64 over blocks of 1,024, whatever the number of threads. The squares
    // are of what was not rounded.
    double sum = 0;
    for (int64_t begin = first; begin < last; begin += kBlock) {
      const float* a = job->a + begin;
      const float* b = job->b + begin;
      const int64_t count = std::min(kBlock, last - begin);
      for (int64_t i = 0; i < count; ++i) store(job->difference + begin + i, a[i] - b[i]);
      sum += sum_of(count, [a, b](int64_t i) { return (a[i] - b[i]) * (a[i] - b[i]); });
    }
    job->partial[part] = sum;
  }
}

}  // namespace

void square_difference(const SquaredDifferenceJob<float>& job, int64_t part_begin, int64_t part_end,
                       Instructions use) {
  run_variant<difference_loop<float>>(use, &job, part_begin, part_end);
}
void square_difference(const SquaredDifferenceJob<uint16_t>& job, int64_t part_begin,
                       int64_t part_end, Instructions use) {
  run_variant<difference_loop<uint16_t>>(use, &job, part_begin, part_end);
}

}  // namespace littlebit
