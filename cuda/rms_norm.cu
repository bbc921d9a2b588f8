// RMS norms and their derivative: a block to a row, then for the weight's gradient a thread to a
// column of a part. Same contract as kernels/rms_norm.h; sums are taken in another order than the
// CPU's.
#include "launch.cuh"
#include "littlebit/kernels/rms_norm.h"
#include "numbers.cuh"

namespace littlebit::cuda {

// Threads take every 256th number of their row, so that a warp's loads are contiguous. The sum of
// squares needs the whole row: the block joins it through shared memory, and then reads the row a
// second time.
template <class X, class Y>
__global__ void rms_norm_kernel(RmsNormJob<X, Y> job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.cols;
  const X* x = job.x + first;
  float squares = 0;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    X value = x[c];
    if (job.added != nullptr) {
      // The norm is of the sum as it is stored, which is what the backward pass will read.
      value = narrowed<X>(widened(value) + widened(job.added[first + c]));
      job.sum[first + c] = value;
    }
    squares += widened(value) * widened(value);
  }
  squares = sum_over_block(squares);
  const float scale = rsqrtf(squares / static_cast<float>(job.cols) + job.eps);
  const X* from = job.added != nullptr ? job.sum + first : x;  // each thread reads what it wrote
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    job.y[first + c] = narrowed<Y>(widened(from[c]) * scale * (job.weight[c] + job.offset));
  }
}

// dx = scale (g - x^ mean(g x^)) with g = dy (weight + offset) and x^ = x scale, as on the CPU.
// d_sum is the gradient that the sum has from its other reader.
template <class X, class Y>
__global__ void rms_norm_gradient_kernel(RmsNormGradientJob<X, Y> job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.cols;
  float squares = 0, products = 0;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    const float x = widened(job.x[first + c]);
    squares += x * x;
    products += widened(job.dy[first + c]) * (job.weight[c] + job.offset) * x;
  }
  squares = sum_over_block(squares);
  products = sum_over_block(products);
  const float count = static_cast<float>(job.cols);
  const float scale = rsqrtf(squares / count + job.eps);
  const float back = products / count * scale * scale;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    const float g = widened(job.dy[first + c]) * (job.weight[c] + job.offset);
    const float more = job.d_sum != nullptr ? widened(job.d_sum[first + c]) : 0.0f;
    job.dx[first + c] = narrowed<X>(scale * (g - widened(job.x[first + c]) * back) + more);
  }
}

// Of part blockIdx.x: the scale of each of its rows by all threads, then columns.
template <class X, class Y>
__global__ void rms_norm_weight_kernel(RmsNormGradientJob<X, Y> job) {
  constexpr int kRows = RmsNormGradientJob<X, Y>::kRowsOfPart;
  LITTLEBIT_SHARED(float, scales, kRows);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kRows;
  const int rows = static_cast<int>(job.rows - begin < kRows ? job.rows - begin : kRows);
  for (int r = 0; r < rows; ++r) {
    // Computed a second time: no memory for scales of rows between the two kernels.
    float squares = 0;
    for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
      const float x = widened(job.x[(begin + r) * job.cols + c]);
      squares += x * x;
    }
    squares = sum_over_block(squares);
    if (threadIdx.x == 0) scales[r] = rsqrtf(squares / static_cast<float>(job.cols) + job.eps);
  }
  __syncthreads();
  // A thread goes down its column: neighbouring threads read neighbouring numbers, and a column's
  // sum has one order.
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    float sum = 0;
    for (int r = 0; r < rows; ++r) {
      const int64_t i = (begin + r) * job.cols + c;
      sum += widened(job.dy[i]) * (widened(job.x[i]) * scales[r]);
    }
    job.partial[blockIdx.x * job.cols + c] = sum;
  }
}

template <class X, class Y>
cudaError_t norm(const RmsNormJob<X, Y>& job, cudaStream_t stream) {
  if (job.rows == 0) return cudaSuccess;
  return launch(rms_norm_kernel<X, Y>, {.grid = static_cast<unsigned>(job.rows), .block = kThreads},
                stream, job);
}

template <class X, class Y>
cudaError_t gradient(const RmsNormGradientJob<X, Y>& job, cudaStream_t stream) {
  if (job.rows == 0) return cudaSuccess;
  // Two kernels: the first goes by rows, the second by parts of 64 rows, whose sums with_job() then
  // adds.
  const cudaError_t error =
      launch(rms_norm_gradient_kernel<X, Y>,
             {.grid = static_cast<unsigned>(job.rows), .block = kThreads}, stream, job);
  if (error != cudaSuccess) return error;
  return launch(rms_norm_weight_kernel<X, Y>,
                {.grid = static_cast<unsigned>(job.parts()), .block = kThreads}, stream, job);
}

template <>
cudaError_t run(const RmsNormJob<float, float>& job, cudaStream_t stream) {
  return norm(job, stream);
}
template <>
cudaError_t run(const RmsNormJob<float, uint16_t>& job, cudaStream_t stream) {
  return norm(job, stream);
}
template <>
cudaError_t run(const RmsNormJob<uint16_t, uint16_t>& job, cudaStream_t stream) {
  return norm(job, stream);
}
template <>
cudaError_t run(const RmsNormGradientJob<float, float>& job, cudaStream_t stream) {
  return gradient(job, stream);
}
template <>
cudaError_t run(const RmsNormGradientJob<float, uint16_t>& job, cudaStream_t stream) {
  return gradient(job, stream);
}
template <>
cudaError_t run(const RmsNormGradientJob<uint16_t, uint16_t>& job, cudaStream_t stream) {
  return gradient(job, stream);
}

}  // namespace littlebit::cuda
