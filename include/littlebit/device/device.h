// The device a run computes on: an ATen device chosen by "auto", "cpu" or "cuda", its properties,
// and the number of threads. Beside room ops, which chooses by device what an operation does,
// no other room asks a device of what kind it is.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "littlebit/core/kinds.h"

namespace littlebit {

// kAuto: the first GPU where there is one and this program was built for it, else the CPU. kCuda:
// UsageError, naming `key`, where CUDA cannot be used. The first GPU is the first that
// CUDA_VISIBLE_DEVICES leaves. Sums on the GPU are taken in fp32 and in a fixed order from then on
// (docs/numerics.md). Must be the first ATen call of the process, setting the number of threads
// excepted: anything that queries CUDA earlier, as at::manual_seed does, makes ATen conclude that
// there is no GPU. `local_rank`: the process's number among those of its host, each of which has
// the GPU of that number.
at::Device open_device(DeviceKind kind, const std::string& key, int64_t local_rank = 0);

// The GPU of a process where it sees `count`: UsageError where there are not as many.
int64_t gpu_of(int64_t local_rank, int64_t count);

// What depends on the kind of a device.
struct DeviceTraits {
  const char* name;  // in what is written about a run: "cpu", "cuda"
  // Its memory is the host's: files are read where they are mapped, nothing is copied to it, and
  // nothing runs behind the program's back.
  bool is_host;
  bool pins_host_memory;  // copies from pinned memory of the host do not wait
  // The fused attention leaves out scores that a causal mask hides, at any length.
  bool skips_masked_scores;
  at::ScalarType auto_dtype;  // of matrix products, where the user leaves it to us
  // Numbers at a time, where a pass over flat buffers makes temporaries: what stays in a cache, or
  // what bounds their memory.
  int64_t numbers_at_a_time;
};
const DeviceTraits& device_traits(at::Device device);

// kAuto: what suits the device.
at::ScalarType float_type(FloatKind kind, at::Device device);
// "fp32", "bf16", "fp64": in options, and in what is written.
const char* name_of(at::ScalarType type);

// ATen's number of threads; 0: every core this process may use.
void use_threads(int64_t threads);

// "CPU", or the GPU's name with the versions of its libraries.
std::string describe_device(at::Device device);

}  // namespace littlebit
