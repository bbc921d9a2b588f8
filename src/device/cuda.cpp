// Finds driver, GPU and our CUDA library at run time. Nothing here is linked against CUDA: the
// driver's three functions are looked up by name.
#include "littlebit/device/cuda.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "littlebit/core/place.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr char kCpuHint[] = "compute on the CPU (train.device=cpu, eval.device=cpu)";

std::string last_dl_error() {
  const char* text = dlerror();
  return text == nullptr ? "unknown error" : text;
}

// <folder of the program>/../lib/liblittlebit_cuda.so
fs::path library_path() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return program.parent_path().parent_path() / "lib" / "liblittlebit_cuda.so";
}

// Number of GPUs by the driver's own interface; 0 with a reason in `problem`.
int count_gpus(std::string& problem) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    problem = "no NVIDIA driver is installed (" + last_dl_error() + ")";
    return 0;
  }
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  const auto name_of =
      reinterpret_cast<int (*)(int, const char**)>(dlsym(driver, "cuGetErrorName"));
  if (init == nullptr || count == nullptr || name_of == nullptr) {
    problem = "libcuda.so.1 is not NVIDIA's driver library";
    return 0;
  }
  int gpus = 0;
  int code = init(0);
  if (code == 0) code = count(&gpus);
  if (code != 0) {
    const char* name = nullptr;
    problem = "the NVIDIA driver finds no usable GPU (" +
              (name_of(code, &name) == 0 && name != nullptr ? std::string(name)
                                                            : "error " + std::to_string(code)) +
              ")";
    return 0;
  }
  if (gpus == 0) problem = "the NVIDIA driver shows no GPU to this process";
  return gpus;
}

CudaState look() {
  CudaState state;
  state.hint = kCpuHint;
  state.driver_has_gpu = count_gpus(state.problem) > 0;
  if (!state.driver_has_gpu) {
    state.hint += "; nvidia-smi and CUDA_VISIBLE_DEVICES show what the driver sees";
    return state;
  }
  // The same sums in the same order in every run; cuBLAS reads this when it is first used.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  const CudaKernels* kernels = load_cuda_library(state.problem);
  if (kernels == nullptr) {
    state.hint += ", or build where nvcc is (docs/gpu.md)";
    return state;
  }
  const int capability = kernels->compute_capability(0);
  if (capability < kMinComputeCapability) {
    state.problem = "the GPU has compute capability " + std::to_string(capability / 10) + "." +
                    std::to_string(capability % 10) + ", at least 8.0 is needed";
    return state;
  }
  kernels->register_operations();
  state.kernels = kernels;
  return state;
}

}  // namespace

void* find_in_cuda_library(const char* name, std::string& problem) {
  const fs::path path = library_path();
  if (!path_exists(path)) {
    problem = "this program was built without CUDA: there is no " + path.string();
    return nullptr;
  }
  // Every symbol now, not in the middle of a run.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    problem = "the CUDA library cannot be loaded: " + last_dl_error();
    return nullptr;
  }
  void* function = dlsym(library, name);
  if (function == nullptr) problem = path.string() + " belongs to another version of this program";
  return function;
}

const CudaKernels* load_cuda_library(std::string& problem) {
  const auto table = reinterpret_cast<const CudaKernels* (*)()>(
      find_in_cuda_library("littlebit_cuda_kernels", problem));
  if (table == nullptr) return nullptr;
  if (table()->version != kCudaKernelsVersion) {
    problem = library_path().string() + " belongs to another version of this program";
    return nullptr;
  }
  return table();
}

const CudaState& open_cuda() {
  static const CudaState state = look();
  return state;
}

}  // namespace littlebit
