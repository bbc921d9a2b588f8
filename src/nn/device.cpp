// The choice of the device, and ATen's settings for a GPU.
#include "littlebit/nn/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

// The same inputs give the same bytes, as on the CPU; products are summed in fp32, not in bf16 or
// TF32.
void settle_sums() {
  at::Context& context = at::globalContext();
  context.setDeterministicAlgorithms(true, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);
  context.setAllowBF16ReductionCuBLAS(false, /*allow_splitk=*/false);
  context.setFloat32MatmulPrecision("highest");
}

}  // namespace

at::Device open_device(DeviceKind kind, const std::string& key) {
  const at::Device cpu(at::kCPU);
  if (kind == DeviceKind::kCpu) return cpu;
  const CudaState& cuda = open_cuda();
  if (cuda.kernels != nullptr) {
    // ATen looks for its CUDA part once, when something first asks for it.
    LB_ASSERT(at::detail::getCUDAHooks().hasCUDART(), "CUDA is loaded before ATen looks for it");
    settle_sums();
    return at::Device(at::kCUDA, 0);
  }
  if (kind == DeviceKind::kCuda) {
    throw UsageError(key + " is cuda, but " + cuda.problem, cuda.hint);
  }
  if (cuda.driver_has_gpu) log_warning("computing on the CPU: " + cuda.problem);
  return cpu;
}

void use_threads(int64_t threads) {
  at::set_num_threads(threads > 0 ? static_cast<int>(threads) : hardware_threads());
}

std::string describe_device(at::Device device) {
  return device.is_cuda() ? open_cuda().kernels->describe(device.index()) : "CPU";
}

}  // namespace littlebit
