// One pass: what is stored is squared on the way.
#include "littlebit/kernels/latent_gradients.h"

#include <algorithm>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

// As 1 - tanh^2 rounds: exactly 0 far out, where AdamW would make a step of whatever is left.
LITTLEBIT_LOOP float smooth_derivative(float latent) {
  const float t = tanh_of(LatentGradientJob::kSlope * latent);
  return LatentGradientJob::kSlope * (1 - t * t);
}

// |x| < 1 by whole numbers: NaN is not.
LITTLEBIT_LOOP float ste_derivative(float latent) {
  const uint32_t size = float_to_bits(latent) & 0x7FFFFFFF;
  return size < float_to_bits(1.0F) ? 1.0F : 0.0F;
}

template <bool kSmooth>
LITTLEBIT_LOOP void gradient_loop(const LatentGradientJob* job, int64_t part_begin,
                                  int64_t part_end) {
  constexpr int64_t kBlock = 1024;  // as many as are summed in fp32
  for (int64_t part = part_begin; part < part_end; ++part) {
    const int64_t first = part * job->kPart, last = std::min(job->count, first + job->kPart);
    // A part is summed in fp64 over blocks of 1,024, whatever the number of threads.
    double sum = 0;
    for (int64_t begin = first; begin < last; begin += kBlock) {
      float* g = job->gradients + begin;
      const float* x = job->latents + begin;
      const int64_t count = std::min(kBlock, last - begin);
      for (int64_t i = 0; i < count; ++i) {
        g[i] *= kSmooth ? smooth_derivative(x[i]) : ste_derivative(x[i]);
      }
      sum += sum_of(count, [g](int64_t i) { return g[i] * g[i]; });
    }
    job->partial[part] = sum;
  }
}

}  // namespace

void make_latent_gradients(const LatentGradientJob& job, int64_t part_begin, int64_t part_end,
                           Instructions use) {
  job.smooth ? run_variant<gradient_loop<true>>(use, &job, part_begin, part_end)
             : run_variant<gradient_loop<false>>(use, &job, part_begin, part_end);
}

}  // namespace littlebit
