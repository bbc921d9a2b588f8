// The few things that nvcc and the tests' simulator (tests/cudasim) each have their own way for:
// launching a kernel, shared memory, and the instructions that CUDA C++ has no name for. A .cu file
// includes this instead of CUDA's headers, and is compiled by both (the simulator's users
// define LITTLEBIT_SIMULATE_CUDA): so the launch's grid is tested, too, where there is no GPU.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#ifdef LITTLEBIT_SIMULATE_CUDA
#include "cudasim/launch.h"
#else

#include <cuda_runtime_api.h>

// Arrays of the block: of a fixed size, and of the size that the launch gives (16-byte aligned).
#define LITTLEBIT_SHARED(type, name, size) __shared__ type name[size]
#define LITTLEBIT_DYNAMIC_SHARED(type, name)                      \
  extern __shared__ __align__(16) unsigned char dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(dynamic_shared)

namespace littlebit::cuda {

struct Geometry {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
};

// Gives `kernel` to the stream; nothing waits. CUDA refuses an empty grid.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), const Geometry& geometry, cudaStream_t stream,
                   Arguments... arguments) {
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (geometry.shared_bytes > kWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, geometry.shared_bytes);
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = geometry.grid;
  config.blockDim = geometry.block;
  config.dynamicSmemBytes = geometry.shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

// 16 bytes from global to shared memory beside what the thread does; they may be read after the
// wait for their group, and by other threads after a barrier behind it.
__device__ __forceinline__ void copy_async_16(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;\n" ::"r"(to), "l"(global));
}
__device__ __forceinline__ void close_copy_group() { asm volatile("cp.async.commit_group;\n" ::); }
// Until at most kStill of the groups that this thread closed are under way.
template <int kStill>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kStill));
}

// c [16, 8] += a [16, 16] b [16, 8] by a whole warp: bf16 in pairs, fp32 sums. Where a lane's
// numbers lie: PTX ISA, "Matrix Fragments for mma.m16n8k16".
__device__ __forceinline__ void multiply_add_bf16(float (&c)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace littlebit::cuda

#endif

#include "run.h"

namespace littlebit::cuda {

// Of a kernel whose threads walk over what there is, in steps of the whole grid.
constexpr unsigned kThreads = 256;
inline unsigned blocks_for(int64_t threads) {
  constexpr int64_t kMaxBlocks = 16384;
  return static_cast<unsigned>(
      std::clamp<int64_t>((threads + kThreads - 1) / kThreads, 1, kMaxBlocks));
}

}  // namespace littlebit::cuda
