// Numbers of fp32 and bf16 in kernels, and what a block makes of them.
#pragma once

#include <cmath>

#include "launch.cuh"

namespace littlebit::cuda {

__device__ inline float widened(float value) { return value; }
__device__ inline float widened(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  return __uint_as_float(bits);
}

template <class T>
__device__ T narrowed(float value);
template <>
__device__ inline float narrowed<float>(float value) {
  return value;
}
// To the nearest, ties to even; every NaN to the same one.
template <>
__device__ inline uint16_t narrowed<uint16_t>(float value) {
  const uint32_t bits = __float_as_uint(value);
  const uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  return static_cast<uint16_t>(value != value ? 0x7FC0 : rounded);
}

// What `join` makes of every thread's value, for every thread. Blocks of whole warps; all threads
// call it.
template <class Join>
__device__ float join_over_block(float value, const Join& join) {
  LITTLEBIT_SHARED(float, of_warps, 32);
  for (int distance = 16; distance > 0; distance /= 2) {
    value = join(value, __shfl_xor_sync(0xFFFFFFFFu, value, distance));
  }
  const unsigned warps = blockDim.x / 32;
  __syncthreads();  // of_warps may still be read for the one before
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
  __syncthreads();
  value = of_warps[0];
  for (unsigned i = 1; i < warps; ++i) value = join(value, of_warps[i]);
  return value;
}

struct Sum {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Most {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

__device__ inline float sum_over_block(float value) { return join_over_block(value, Sum()); }
__device__ inline float most_over_block(float value) { return join_over_block(value, Most()); }

}  // namespace littlebit::cuda
