// KL divergences of rows of logits, a block to a row. Same contract as kernels/kl_rows.h; sums are
// taken in another order than the CPU's.
#include "launch.cuh"
#include "littlebit/kernels/kl_rows.h"
#include "numbers.cuh"

namespace littlebit::cuda {

__device__ inline float capped(float x, float softcap) {
  return softcap > 0.0f ? softcap * tanhf(x / softcap) : x;
}

// Three passes over a row: the largest logits, the sums, losses and gradients. A vocabulary has no
// bound, so that a row is read anew instead of being kept in registers or shared memory. The
// maximum is taken before the soft cap, which grows with its argument: so it takes one tanh per row
// and not one per logit.
__global__ void kl_rows_kernel(KlRowsJob job) {
  const float* teacher = job.teacher + static_cast<int64_t>(blockIdx.x) * job.cols;
  const float* student = job.student + static_cast<int64_t>(blockIdx.x) * job.cols;
  float most_p = -INFINITY, most_q = -INFINITY;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    most_p = fmaxf(most_p, teacher[c]);
    most_q = fmaxf(most_q, student[c]);
  }
  most_p = capped(most_over_block(most_p), job.softcap);
  most_q = capped(most_over_block(most_q), job.softcap);
  float sum_p = 0, sum_q = 0;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    sum_p += expf(capped(teacher[c], job.softcap) - most_p);
    sum_q += expf(capped(student[c], job.softcap) - most_q);
  }
  const float log_p = logf(sum_over_block(sum_p)), log_q = logf(sum_over_block(sum_q));
  // KL = sum over p (z_p - z_q) + (log of the student's sum) - (log of the teacher's). The
  // logarithms are large and nearly equal: their difference is taken in fp64.
  float loss = 0;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    const float of_teacher = capped(teacher[c], job.softcap);
    const float of_student = capped(student[c], job.softcap);
    const float p = expf(of_teacher - most_p - log_p);
    loss += p * (of_teacher - of_student);
    if (job.d_student == nullptr) continue;
    // q - p, through the cap's derivative.
    float d = expf(of_student - most_q - log_q) - p;
    if (job.softcap > 0.0f) {
      const float part = of_student / job.softcap;
      d *= 1.0f - part * part;
    }
    job.d_student[blockIdx.x * job.cols + c] = d * job.scale;
  }
  loss = sum_over_block(loss);
  if (threadIdx.x == 0) {
    const double of_q = static_cast<double>(most_q) + static_cast<double>(log_q);
    const double of_p = static_cast<double>(most_p) + static_cast<double>(log_p);
    job.loss[blockIdx.x] = static_cast<double>(loss) + (of_q - of_p);
  }
}

template <>
cudaError_t run(const KlRowsJob& job, cudaStream_t stream) {
  if (job.rows == 0) return cudaSuccess;
  return launch(kl_rows_kernel, {.grid = static_cast<unsigned>(job.rows), .block = kThreads},
                stream, job);
}

}  // namespace littlebit::cuda
