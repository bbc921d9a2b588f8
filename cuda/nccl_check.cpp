// The one file that sees c10d's NCCL process group.
#include "nccl_check.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <nccl.h>

#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

namespace littlebit::cuda {

// ProcessGroupNCCL holds an ncclConfig_t by value: another version of the header is another layout.
static_assert(NCCL_VERSION_CODE == NCCL_VERSION(2, 28, 9), "the NCCL that LibTorch was built with");

std::string nccl_version() {
  int version = 0;
  ncclGetVersion(&version);
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

double nccl_difference(int device) {
  const at::Device place(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  const auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      c10::make_intrusive<c10d::HashStore>(), /*rank=*/0, /*size=*/1);
  const at::Tensor numbers = at::arange(1000, at::TensorOptions().dtype(at::kFloat).device(place));
  std::vector<at::Tensor> sums = {numbers.clone()};
  group->allreduce(sums)->wait();
  const double difference = (sums[0] - numbers).abs().max().item<double>();
  group->shutdown();
  return difference;
}

}  // namespace littlebit::cuda
