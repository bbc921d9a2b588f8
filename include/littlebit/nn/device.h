// What a run computes with: an ATen device out of "auto", "cpu" or "cuda", and its number of
// threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "littlebit/kernels/cuda.h"

namespace littlebit {

// kAuto: the first GPU where there is one and this program was built for it, else the CPU. kCuda:
// UsageError, naming `key`, where CUDA cannot be used. The first GPU is the first that
// CUDA_VISIBLE_DEVICES leaves. Sums on the GPU are settled to be taken in fp32 and in a fixed order
// (docs/numerics.md). A program's first use of ATen but for the number of threads: what asks ATen
// about CUDA before, as at::manual_seed does, settles that there is none. `local_rank`: the
// process's number among those of its host, each of which has the GPU of that number.
at::Device open_device(DeviceKind kind, const std::string& key, int64_t local_rank = 0);

// The GPU of a process where it sees `count`: UsageError where there are not as many.
int64_t gpu_of(int64_t local_rank, int64_t count);

// ATen's number of threads; 0: every core this process may use.
void use_threads(int64_t threads);

// "CPU", or the GPU's name with the versions of its libraries.
std::string describe_device(at::Device device);

}  // namespace littlebit
