// c10d's NCCL group, made by the CUDA library (cuda/nccl.cpp).
#pragma once

#include <c10/core/Device.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "littlebit/distributed/environment.h"

namespace littlebit {

// What the CUDA library exports under kConnectNcclName. Throws std::exception.
using ConnectNccl = c10::intrusive_ptr<c10d::Backend>(const c10::intrusive_ptr<c10d::Store>& store,
                                                      int rank, int world, int device);
inline constexpr const char* kConnectNcclName = "littlebit_connect_nccl";

// Connects this process's device with those of all others. Error of exit code 75 where they cannot
// be, naming this process; UsageError where the CUDA library cannot be loaded.
c10::intrusive_ptr<c10d::Backend> connect_nccl(const Environment& environment, at::Device device,
                                               const c10::intrusive_ptr<c10d::Store>& store);

}  // namespace littlebit
