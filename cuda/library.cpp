// The table of functions that the programs find in liblittlebit_cuda.so (device/cuda.h). Loading
// this library loads libtorch_cuda, which brings ATen's CUDA operations.
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAFunctions.h>
#include <cublas_v2.h>

#include <cstdio>

#include "littlebit/device/cuda.h"
#include "nccl.h"
#include "register.h"

namespace littlebit::cuda {
namespace {

cudaDeviceProp properties(int device) {
  cudaDeviceProp properties;
  C10_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return properties;
}

int compute_capability(int device) {
  const cudaDeviceProp gpu = properties(device);
  return 10 * gpu.major + gpu.minor;
}

std::string describe(int device) {
  const cudaDeviceProp gpu = properties(device);
  int driver = 0, runtime = 0, cublas[3] = {};
  C10_CUDA_CHECK(cudaDriverGetVersion(&driver));
  C10_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
  cublasGetProperty(MAJOR_VERSION, &cublas[0]);
  cublasGetProperty(MINOR_VERSION, &cublas[1]);
  cublasGetProperty(PATCH_LEVEL, &cublas[2]);
  char text[512];
  std::snprintf(text, sizeof text,
                "%s, compute capability %d.%d, %.1f GiB, CUDA %d.%d (driver %d.%d), cuBLAS "
                "%d.%d.%d, NCCL %s",
                gpu.name, gpu.major, gpu.minor, static_cast<double>(gpu.totalGlobalMem) / (1 << 30),
                runtime / 1000, runtime % 1000 / 10, driver / 1000, driver % 1000 / 10, cublas[0],
                cublas[1], cublas[2], nccl_version().c_str());
  return text;
}

}  // namespace
}  // namespace littlebit::cuda

extern "C" __attribute__((visibility("default"))) const littlebit::CudaKernels*
littlebit_cuda_kernels() {
  using namespace littlebit;
  static constexpr CudaKernels kTable = {.version = kCudaKernelsVersion,
                                         .register_operations = cuda::register_operations,
                                         .describe = cuda::describe,
                                         .compute_capability = cuda::compute_capability,
                                         .nccl_difference = cuda::nccl_difference};
  return &kTable;
}
