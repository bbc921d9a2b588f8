// The CUDA library's part of the connection, by its name.
#include "distributed/nccl_backend.h"

#include <string>

#include "littlebit/core/error.h"
#include "littlebit/device/cuda.h"

namespace littlebit {

c10::intrusive_ptr<c10d::Backend> connect_nccl(int64_t rank, int64_t world, at::Device device,
                                               const c10::intrusive_ptr<c10d::Store>& store,
                                               int64_t rank_in_all) {
  std::string problem;
  const auto connect =
      reinterpret_cast<ConnectNccl*>(find_in_cuda_library(kConnectNcclName, problem));
  if (connect == nullptr) {
    throw UsageError("processes on GPUs cannot be connected: " + problem,
                     "start one process, or set the device to cpu");
  }
  try {
    return connect(store, static_cast<int>(rank), static_cast<int>(world), device.index());
  } catch (const std::exception& error) {
    const std::string what = error.what();
    throw Error(
        ExitCode::kPeerLost,
        "the GPU of rank " + std::to_string(rank_in_all) +
            " cannot be connected with the others by NCCL: " + what.substr(0, what.find('\n')),
        "NCCL_DEBUG=INFO shows what NCCL does; every process needs its own GPU");
  }
}

}  // namespace littlebit
