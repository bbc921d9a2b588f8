// The choice of the device, ATen's settings for a GPU, and the table of what is known of each kind.
#include "littlebit/device/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/device/cuda.h"
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

int64_t gpu_of(int64_t local_rank, int64_t count) {
  if (local_rank < count) return local_rank;
  throw UsageError("this is process " + std::to_string(local_rank) + " of its host (LOCAL_RANK), " +
                       "which sees " + std::to_string(count) + " GPU" + (count == 1 ? "" : "s"),
                   "start as many processes on a host as it has GPUs, and let each see all of them "
                   "(CUDA_VISIBLE_DEVICES; srun --gpus-per-node, not --gpus-per-task)");
}

at::Device open_device(DeviceKind kind, const std::string& key, int64_t local_rank) {
  const at::Device cpu(at::kCPU);
  if (kind == DeviceKind::kCpu) return cpu;
  const CudaState& cuda = open_cuda();
  if (cuda.kernels != nullptr) {
    // ATen looks for its CUDA part once, when something first asks for it.
    LB_ASSERT(at::detail::getCUDAHooks().hasCUDART(), "CUDA is loaded before ATen looks for it");
    settle_sums();
    const int64_t gpu = gpu_of(local_rank, at::detail::getCUDAHooks().deviceCount());
    return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu));
  }
  if (kind == DeviceKind::kCuda) {
    throw UsageError(key + " is cuda, but " + cuda.problem, cuda.hint);
  }
  if (cuda.driver_has_gpu) log_warning("computing on the CPU: " + cuda.problem);
  return cpu;
}

at::ScalarType float_type(FloatKind kind, at::Device device) {
  if (kind == FloatKind::kAuto) return device_traits(device).auto_dtype;
  return kind == FloatKind::kBf16 ? at::kBFloat16 : at::kFloat;
}

const char* name_of(at::ScalarType type) {
  return type == at::kBFloat16 ? "bf16" : type == at::kDouble ? "fp64" : "fp32";
}

void use_threads(int64_t threads) {
  at::set_num_threads(threads > 0 ? static_cast<int>(threads) : hardware_threads());
}

const DeviceTraits& device_traits(at::Device device) {
  static constexpr DeviceTraits kCpu = {.name = "cpu",
                                        .is_host = true,
                                        .pins_host_memory = false,
                                        .skips_masked_scores = false,
                                        .auto_dtype = at::kFloat,
                                        .numbers_at_a_time = 1 << 18};
  static constexpr DeviceTraits kCuda = {.name = "cuda",
                                         .is_host = false,
                                         .pins_host_memory = true,
                                         .skips_masked_scores = true,
                                         .auto_dtype = at::kBFloat16,
                                         .numbers_at_a_time = 1 << 24};
  // Of LibTorch's others nothing is known.
  static constexpr DeviceTraits kOther = {.name = "other",
                                          .is_host = false,
                                          .pins_host_memory = false,
                                          .skips_masked_scores = true,
                                          .auto_dtype = at::kFloat,
                                          .numbers_at_a_time = 1 << 24};
  return device.is_cpu() ? kCpu : device.is_cuda() ? kCuda : kOther;
}

std::string describe_device(at::Device device) {
  if (device.is_cuda()) return open_cuda().kernels->describe(device.index());
  return device.is_cpu() ? "CPU" : device.str();
}

}  // namespace littlebit
