// Differences of rows over the second one's squared norm, a block to a row. Same contract as
// kernels/relative_row_difference.h; sums are taken in another order than the CPU's.
#include "launch.cuh"
#include "littlebit/kernels/relative_row_difference.h"
#include "numbers.cuh"

namespace littlebit::cuda {

template <class D>
__global__ void relative_difference_kernel(RelativeRowDifferenceJob<D> job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.cols;
  float power = 0, squares = 0;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    const float b = job.b[first + c], difference = job.a[first + c] - b;
    power += b * b;
    squares += difference * difference;
  }
  // Both need the whole row, which is then read a second time, out of the cache.
  power = sum_over_block(power);
  squares = sum_over_block(squares);
  constexpr float kLeast = 1.17549435e-38f;  // the smallest normal float
  // Not fmaxf, which would lose a NaN.
  const float scale = 1.0f / (power < kLeast ? kLeast : power);
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    job.direction[first + c] = narrowed<D>((job.a[first + c] - job.b[first + c]) * scale);
  }
  if (threadIdx.x == 0) job.error[blockIdx.x] = static_cast<double>(squares) * scale;
}

template <class D>
cudaError_t relative_row_difference(const RelativeRowDifferenceJob<D>& job, cudaStream_t stream) {
  if (job.rows == 0) return cudaSuccess;
  return launch(relative_difference_kernel<D>,
                {.grid = static_cast<unsigned>(job.rows), .block = kThreads}, stream, job);
}

template <>
cudaError_t run(const RelativeRowDifferenceJob<float>& job, cudaStream_t stream) {
  return relative_row_difference(job, stream);
}
template <>
cudaError_t run(const RelativeRowDifferenceJob<uint16_t>& job, cudaStream_t stream) {
  return relative_row_difference(job, stream);
}

}  // namespace littlebit::cuda
