// Differences and their squared norms, a block to a part. Same contract as
// kernels/squared_difference.h; sums are taken in another order than the CPU's.
#include "launch.cuh"
#include "littlebit/kernels/squared_difference.h"
#include "numbers.cuh"

namespace littlebit::cuda {

template <class D>
__global__ void squared_difference_kernel(SquaredDifferenceJob<D> job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.kPart;
  const int64_t last = job.count - first < job.kPart ? job.count : first + job.kPart;
  // A part's sum is written, not added to a total by atomics: the same order in every run. The
  // squares are of what was not rounded.
  float sum = 0;
  for (int64_t i = first + threadIdx.x; i < last; i += blockDim.x) {
    const float difference = job.a[i] - job.b[i];
    job.difference[i] = narrowed<D>(difference);
    sum += difference * difference;
  }
  sum = sum_over_block(sum);
  if (threadIdx.x == 0) job.partial[blockIdx.x] = sum;
}

template <class D>
cudaError_t difference(const SquaredDifferenceJob<D>& job, cudaStream_t stream) {
  if (job.count == 0) return cudaSuccess;
  return launch(squared_difference_kernel<D>,
                {.grid = static_cast<unsigned>(job.parts()), .block = kThreads}, stream, job);
}

template <>
cudaError_t run(const SquaredDifferenceJob<float>& job, cudaStream_t stream) {
  return difference(job, stream);
}
template <>
cudaError_t run(const SquaredDifferenceJob<uint16_t>& job, cudaStream_t stream) {
  return difference(job, stream);
}

}  // namespace littlebit::cuda
