// Gradients of latents and the square of their norm, a block to a part. Same contract as
// kernels/latent_gradients.h; sums are taken in another order than the CPU's.
#include "launch.cuh"
#include "littlebit/kernels/latent_gradients.h"
#include "numbers.cuh"

namespace littlebit::cuda {

__global__ void latent_gradients_kernel(LatentGradientJob job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.kPart;
  const int64_t last = job.count - first < job.kPart ? job.count : first + job.kPart;
  // A thread sums in fp32 the 64 squares, at most, that fall to it. A part's sum is written, not
  // added to a total by atomics: the same order in every run.
  float sum = 0;
  for (int64_t i = first + threadIdx.x; i < last; i += blockDim.x) {
    const float latent = job.latents[i];
    float derivative = fabsf(latent) < 1.0f ? 1.0f : 0.0f;
    if (job.smooth) {
      const float t = tanhf(job.kSlope * latent);
      derivative = job.kSlope * (1.0f - t * t);
    }
    const float gradient = job.gradients[i] * derivative;
    job.gradients[i] = gradient;
    sum += gradient * gradient;
  }
  sum = sum_over_block(sum);
  if (threadIdx.x == 0) job.partial[blockIdx.x] = sum;
}

template <>
cudaError_t run(const LatentGradientJob& job, cudaStream_t stream) {
  if (job.count == 0) return cudaSuccess;
  return launch(latent_gradients_kernel,
                {.grid = static_cast<unsigned>(job.parts()), .block = kThreads}, stream, job);
}

}  // namespace littlebit::cuda
