// The one file that sees c10d's NCCL process group.
#include "nccl.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAFunctions.h>
#include <nccl.h>

#include <algorithm>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

extern "C" __attribute__((visibility("default"))) c10::intrusive_ptr<c10d::Backend>
littlebit_connect_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int world,
                       int device) {
  // Who is lost or late is found by DeviceCommunicator, which names it. c10d's own watch would end
  // the process by a signal, with a stack for a message.
  setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0", /*overwrite=*/0);
  setenv("TORCH_NCCL_ENABLE_MONITORING", "0", /*overwrite=*/0);
  const at::Device place(at::kCUDA, static_cast<c10::DeviceIndex>(device));
  auto group = c10::make_intrusive<c10d::ProcessGroupNCCL>(
      store, rank, world, c10d::ProcessGroupNCCL::Options::create(/*is_high_priority=*/true));
  c10::cuda::set_device(place.index());
  group->setBoundDeviceId(place);
  group->eagerConnectSingleDevice(place);
  return group;
}

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
  const auto group = littlebit_connect_nccl(c10::make_intrusive<c10d::HashStore>(), /*rank=*/0,
                                            /*world=*/1, device);
  double worst = 0;
  for (const at::ScalarType type :
       {at::kDouble, at::kFloat, at::kBFloat16, at::kLong, at::kInt, at::kByte}) {
    const at::Tensor numbers = at::arange(200, at::TensorOptions().dtype(type).device(place));
    at::Tensor sum = at::zeros_like(numbers), all = at::zeros_like(numbers),
               given = numbers.clone();
    std::vector<at::Tensor> reduced = {numbers.clone()}, sent = {numbers.clone()};
    group->allreduce(reduced)->wait();
    group->broadcast(sent)->wait();
    group->_reduce_scatter_base(sum, given)->wait();
    group->_allgather_base(all, given)->wait();
    for (const at::Tensor& got : {reduced[0], sent[0], sum, all}) {
      const at::Tensor difference = got.to(at::kDouble) - numbers.to(at::kDouble);
      worst = std::max(worst, difference.abs().max().item<double>());
    }
  }
  group->shutdown();
  return worst;
}

}  // namespace littlebit::cuda
