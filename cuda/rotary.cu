// Rotary position embedding, a thread to a pair, or to a number beyond the pairs, at a time. Same
// contract as kernels/rotary.h.
#include "launch.cuh"
#include "littlebit/kernels/rotary.h"
#include "numbers.cuh"

namespace littlebit::cuda {

template <class T>
__global__ void rotary_kernel(RotaryJob<T> job) {
  const int64_t pieces = job.size - job.half;  // pairs, and what is alone
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t rows = job.batch * job.heads * job.length;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < rows * pieces;
       k += step) {
    // Neighbouring threads take neighbouring pairs of one head.
    const int64_t row = k / pieces, i = k - row * pieces;
    const int64_t head = row % job.heads, position = row / job.heads % job.length;
    const int64_t batch = row / (job.length * job.heads);
    const T* x =
        job.x + batch * job.x_strides[0] + head * job.x_strides[1] + position * job.x_strides[2];
    T* y = job.y + batch * job.y_strides[0] + head * job.y_strides[1] + position * job.y_strides[2];
    // Numbers beyond the pairs (partial rotary) are copied.
    if (i >= job.half) {
      y[job.half + i] = x[job.half + i];
      continue;
    }
    const float cos = job.cos[position * job.half + i], sine = job.sin[position * job.half + i];
    const float sin = job.back ? -sine : sine;
    const float first = widened(x[i]), second = widened(x[job.half + i]);
    y[i] = narrowed<T>(first * cos - second * sin);
    y[job.half + i] = narrowed<T>(second * cos + first * sin);
  }
}

template <class T>
cudaError_t rotate(const RotaryJob<T>& job, cudaStream_t stream) {
  const int64_t pieces = job.rows() * (job.size - job.half);
  if (pieces == 0) return cudaSuccess;
  return launch(rotary_kernel<T>, {.grid = blocks_for(pieces), .block = kThreads}, stream, job);
}

template <>
cudaError_t run(const RotaryJob<float>& job, cudaStream_t stream) {
  return rotate(job, stream);
}
template <>
cudaError_t run(const RotaryJob<uint16_t>& job, cudaStream_t stream) {
  return rotate(job, stream);
}

}  // namespace littlebit::cuda
