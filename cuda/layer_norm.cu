// Layer norms and their derivative: a block to a row, then for the gradients of weight and bias a
// thread to a column of a part. Same contract as kernels/layer_norm.h; sums are taken in another
// order than the CPU's.
#include "launch.cuh"
#include "littlebit/kernels/layer_norm.h"
#include "numbers.cuh"

namespace littlebit::cuda {

struct RowMoments {
  float mean, scale;  // scale: 1 / standard deviation
};

// Of a row, by all threads of the block.
template <class X>
__device__ RowMoments moments_of(const X* x, int64_t cols, float eps) {
  const float count = static_cast<float>(cols);
  // The variance in a second pass over differences from the mean: mean(x^2) - mean^2 would cancel
  // where the mean is large.
  float sum = 0, squares = 0;
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) sum += widened(x[c]);
  const float mean = sum_over_block(sum) / count;
  for (int64_t c = threadIdx.x; c < cols; c += blockDim.x) {
    const float centred = widened(x[c]) - mean;
    squares += centred * centred;
  }
  return {mean, rsqrtf(sum_over_block(squares) / count + eps)};
}

// Threads take every 256th number of their row, so that a warp's loads are contiguous.
template <class X, class Y>
__global__ void layer_norm_kernel(LayerNormJob<X, Y> job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.cols;
  const X* x = job.x + first;
  if (job.added != nullptr) {
    for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
      job.sum[first + c] = narrowed<X>(widened(x[c]) + widened(job.added[first + c]));
    }
    x = job.sum + first;  // each thread reads what it wrote
  }
  const RowMoments row = moments_of(x, job.cols, job.eps);
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    job.y[first + c] =
        narrowed<Y>((widened(x[c]) - row.mean) * row.scale * job.weight[c] + job.bias[c]);
  }
}

// dx = scale (g - mean(g) - x^ mean(g x^)) with g = dy weight and x^ = (x - mean) scale, as on the
// CPU. d_sum is the gradient that the sum has from its other reader.
template <class X, class Y>
__global__ void layer_norm_gradient_kernel(LayerNormGradientJob<X, Y> job) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * job.cols;
  const X* x = job.x + first;
  const Y* dy = job.dy + first;
  const RowMoments row = moments_of(x, job.cols, job.eps);
  float level = 0, products = 0;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    const float g = widened(dy[c]) * job.weight[c];
    level += g;
    products += g * (widened(x[c]) - row.mean);
  }
  const float count = static_cast<float>(job.cols);
  level = sum_over_block(level) / count;
  const float back = sum_over_block(products) / count * row.scale * row.scale;
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    const float g = widened(dy[c]) * job.weight[c];
    const float more = job.d_sum != nullptr ? widened(job.d_sum[first + c]) : 0.0f;
    const float centred = widened(x[c]) - row.mean;
    job.dx[first + c] = narrowed<X>(row.scale * (g - level - centred * back) + more);
  }
}

// Of part blockIdx.x: the moments of each of its rows by all threads, then columns.
template <class X, class Y>
__global__ void layer_norm_weight_kernel(LayerNormGradientJob<X, Y> job) {
  constexpr int kRows = LayerNormGradientJob<X, Y>::kRowsOfPart;
  LITTLEBIT_SHARED(float, means, kRows);
  LITTLEBIT_SHARED(float, scales, kRows);
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kRows;
  const int rows = static_cast<int>(job.rows - begin < kRows ? job.rows - begin : kRows);
  // Computed a second time: no memory for moments of rows between the two kernels.
  for (int r = 0; r < rows; ++r) {
    const RowMoments row = moments_of(job.x + (begin + r) * job.cols, job.cols, job.eps);
    if (threadIdx.x == 0) {
      means[r] = row.mean;
      scales[r] = row.scale;
    }
  }
  __syncthreads();
  float* of_weight = job.partial + 2 * blockIdx.x * job.cols;
  // A thread goes down its column: neighbouring threads read neighbouring numbers, and a column's
  // sum has one order.
  for (int64_t c = threadIdx.x; c < job.cols; c += blockDim.x) {
    float weight = 0, bias = 0;
    for (int r = 0; r < rows; ++r) {
      const int64_t i = (begin + r) * job.cols + c;
      const float dy = widened(job.dy[i]);
      weight += dy * ((widened(job.x[i]) - means[r]) * scales[r]);
      bias += dy;
    }
    of_weight[c] = weight;
    of_weight[job.cols + c] = bias;
  }
}

template <class X, class Y>
cudaError_t layer_norm(const LayerNormJob<X, Y>& job, cudaStream_t stream) {
  if (job.rows == 0) return cudaSuccess;
  return launch(layer_norm_kernel<X, Y>,
                {.grid = static_cast<unsigned>(job.rows), .block = kThreads}, stream, job);
}

template <class X, class Y>
cudaError_t layer_norm_gradient(const LayerNormGradientJob<X, Y>& job, cudaStream_t stream) {
  if (job.rows == 0) return cudaSuccess;
  // Two kernels: the first goes by rows, the second by parts of 64 rows, whose sums with_job() then
  // adds.
  const cudaError_t error =
      launch(layer_norm_gradient_kernel<X, Y>,
             {.grid = static_cast<unsigned>(job.rows), .block = kThreads}, stream, job);
  if (error != cudaSuccess) return error;
  return launch(layer_norm_weight_kernel<X, Y>,
                {.grid = static_cast<unsigned>(job.parts()), .block = kThreads}, stream, job);
}

template <>
cudaError_t run(const LayerNormJob<float, float>& job, cudaStream_t stream) {
  return layer_norm(job, stream);
}
template <>
cudaError_t run(const LayerNormJob<float, uint16_t>& job, cudaStream_t stream) {
  return layer_norm(job, stream);
}
template <>
cudaError_t run(const LayerNormJob<uint16_t, uint16_t>& job, cudaStream_t stream) {
  return layer_norm(job, stream);
}
template <>
cudaError_t run(const LayerNormGradientJob<float, float>& job, cudaStream_t stream) {
  return layer_norm_gradient(job, stream);
}
template <>
cudaError_t run(const LayerNormGradientJob<float, uint16_t>& job, cudaStream_t stream) {
  return layer_norm_gradient(job, stream);
}
template <>
cudaError_t run(const LayerNormGradientJob<uint16_t, uint16_t>& job, cudaStream_t stream) {
  return layer_norm_gradient(job, stream);
}

}  // namespace littlebit::cuda
