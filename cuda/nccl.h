// NCCL behind c10d's process group: that it is there, fits the headers and sums. The library
// exports littlebit_connect_nccl, too, whose type is in src/distributed/nccl_backend.h.
#pragma once

#include <string>

namespace littlebit::cuda {

std::string nccl_version();          // of the library that was loaded
double nccl_difference(int device);  // CudaKernels::nccl_difference

}  // namespace littlebit::cuda
