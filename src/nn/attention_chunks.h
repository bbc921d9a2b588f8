// How causal_attention divides the queries of a sequence where no kernel takes it whole. Inside nn
// only.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace littlebit {

// Queries of a chunk, at most `length`.
int64_t chunk_size(int64_t length, int64_t window);

// Whether ATen's attention is called once for all queries. `window`: 0 where all keys are seen.
bool one_call(int64_t length, int64_t window, double softcap, at::Device device);

}  // namespace littlebit
