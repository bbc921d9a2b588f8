// Loads the CUDA library (cuda/, built where nvcc is installed), on request only, so that programs
// start quickly and run where there is neither GPU nor CUDA. Loading it also brings ATen's CUDA
// operations into the process. This contract knows no CUDA header.
#pragma once

#include <cstdint>
#include <string>

namespace littlebit {

// The library's functions. They throw std::exception where CUDA reports an error.
struct CudaKernels {
  int64_t version;  // kCudaKernelsVersion of its build
  // Gives LibTorch's dispatcher the forms of operations (ops/register_ops.h) for tensors on a GPU.
  // open_cuda() calls it. Needs no GPU; a second call does nothing.
  void (*register_operations)();
  // GPU `device` in words: name, compute capability, memory, versions of CUDA, cuBLAS and NCCL.
  std::string (*describe)(int device);
  int (*compute_capability)(int device);  // 10 * major + minor
  // Sums, gathers and sends tensors of every type in a process group of this process alone, through
  // NCCL; the largest difference from the tensors themselves, which should be 0.
  double (*nccl_difference)(int device);
};
inline constexpr int64_t kCudaKernelsVersion = 2;
inline constexpr int kMinComputeCapability = 80;  // what the kernels are compiled for, and bf16

// Whether CUDA can be used here. Where it cannot, `kernels` is null, `problem` says why in one
// sentence and `hint` what to do.
struct CudaState {
  const CudaKernels* kernels = nullptr;
  std::string problem, hint;
  bool driver_has_gpu = false;  // a GPU is there, whatever else is missing
};

// Looks for the driver, a GPU and the library, in this order, once per process; the driver alone
// decides quickly where there is none. Any thread.
const CudaState& open_cuda();

// The library alone, without looking for a GPU; null with a reason in `problem` where it cannot be
// loaded. For open_cuda() and tests.
const CudaKernels* load_cuda_library(std::string& problem);

// A function of the library that is not in the table, for rooms that know more than this one; null
// with a reason in `problem`.
void* find_in_cuda_library(const char* name, std::string& problem);

}  // namespace littlebit
