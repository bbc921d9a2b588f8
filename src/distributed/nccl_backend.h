// c10d's NCCL group, made by the CUDA library (cuda/nccl.cpp).
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

namespace littlebit {

// What the CUDA library exports under kConnectNcclName. Throws std::exception.
using ConnectNccl = c10::intrusive_ptr<c10d::Backend>(const c10::intrusive_ptr<c10d::Store>& store,
                                                      int rank, int world, int device);
inline constexpr const char* kConnectNcclName = "littlebit_connect_nccl";

// Connects this process's device, as `rank` of `world`, with those of the others. Error of exit
// code 75 where they cannot be, naming this process as `rank_in_all`; UsageError where the CUDA
// library cannot be loaded.
c10::intrusive_ptr<c10d::Backend> connect_nccl(int64_t rank, int64_t world, at::Device device,
                                               const c10::intrusive_ptr<c10d::Store>& store,
                                               int64_t rank_in_all);

}  // namespace littlebit
