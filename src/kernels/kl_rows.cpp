// Each row is read from memory once, by blocks, for its largest logit and its sum; what follows
// finds it in the cache.
#include "littlebit/kernels/kl_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "floats.h"
#include "variants.h"

namespace littlebit {
namespace {

constexpr int64_t kBlock = 1024;  // logits

template <bool kCapped>
LITTLEBIT_LOOP float capped(float x, float softcap) {
  return kCapped ? softcap * tanh_of(x / softcap) : x;
}

// log p of a capped logit z is z - most - log_sum.
struct Softmax {
  float most;
  double exact_log_sum;
  float log_sum = static_cast<float>(exact_log_sum);
};

// By blocks, with a running maximum: a block's logits are still in the cache when their powers are
// summed, and the sum so far is scaled whenever the maximum grows. Blocks are summed in fp32, the
// row in fp64. The soft cap grows with its argument, so that the cap of the largest is the largest
// cap.
template <bool kCapped>
LITTLEBIT_LOOP Softmax softmax_of(const float* x, int64_t cols, float softcap) {
  float most = -std::numeric_limits<float>::infinity();
  double sum = 0;
  for (int64_t begin = 0; begin < cols; begin += kBlock) {
    const float* block = x + begin;
    const int64_t count = std::min(kBlock, cols - begin);
    const float more = std::max(
        most, capped<kCapped>(most_of(count, [=](int64_t i) { return block[i]; }), softcap));
    if (begin > 0) sum *= std::exp(most - more);
    most = more;
    sum +=
        sum_of(count, [=](int64_t i) { return exp_of(capped<kCapped>(block[i], softcap) - more); });
  }
  return {most, std::log(sum)};
}

template <bool kCapped>
LITTLEBIT_LOOP void kl_loop(const KlRowsJob* job, int64_t row_begin, int64_t row_end) {
  const int64_t cols = job->cols;
  const float softcap = job->softcap, scale = job->scale;
  for (int64_t r = row_begin; r < row_end; ++r) {
    const float* teacher = job->teacher + r * cols;
    const float* student = job->student + r * cols;
    const Softmax of_p = softmax_of<kCapped>(teacher, cols, softcap);
    const Softmax of_q = softmax_of<kCapped>(student, cols, softcap);
    // The sum over p (log p - log q), without the rounding of log p and log q. KL = sum over p (z_p
    // - z_q) + (log of the student's sum) - (log of the teacher's), since p adds up to 1.
    double loss =
        (double{of_q.most} + of_q.exact_log_sum) - (double{of_p.most} + of_p.exact_log_sum);
    for (int64_t begin = 0; begin < cols; begin += kBlock) {
      const int64_t count = std::min(kBlock, cols - begin);
      const float* t = teacher + begin;
      const float* s = student + begin;
      loss += sum_of(count, [=](int64_t i) {
        const float z = capped<kCapped>(t[i], softcap);
        return exp_of(z - of_p.most - of_p.log_sum) * (z - capped<kCapped>(s[i], softcap));
      });
      if (job->d_student == nullptr) continue;
      float made[kBlock];  // apart: a loop that writes what it reads is not made of vectors
      for (int64_t i = 0; i < count; ++i) {
        const float z = capped<kCapped>(s[i], softcap);
        const float log_p = capped<kCapped>(t[i], softcap) - of_p.most - of_p.log_sum;
        // q - p, through the cap's derivative.
        float difference = exp_of(z - of_q.most - of_q.log_sum) - exp_of(log_p);
        if (kCapped) difference *= 1 - (z / softcap) * (z / softcap);
        made[i] = difference * scale;
      }
      std::copy_n(made, count, job->d_student + r * cols + begin);
    }
    job->loss[r] = loss;
  }
}

}  // namespace

void kl_rows(const KlRowsJob& job, int64_t row_begin, int64_t row_end, Instructions use) {
  job.softcap > 0 ? run_variant<kl_loop<true>>(use, &job, row_begin, row_end)
                  : run_variant<kl_loop<false>>(use, &job, row_begin, row_end);
}

}  // namespace littlebit
