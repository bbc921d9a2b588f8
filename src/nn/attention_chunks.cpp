#include "nn/attention_chunks.h"

#include <algorithm>

#include "littlebit/device/device.h"

namespace littlebit {

// How many queries are taken at a time: chunks leave out the keys that none of their queries sees.
// More chunks than this cost more in small products and in adding up gradients than they save.
int64_t chunk_size(int64_t length, int64_t window) {
  constexpr int64_t kSmallest = 64, kMaxChunks = 8;
  const int64_t chunks = std::clamp<int64_t>(length / kSmallest, 1, kMaxChunks);
  const int64_t size = (length + chunks - 1) / chunks;
  return window > 0 ? std::min(size, std::max(window, kSmallest)) : size;
}

// Whether one call of the fused kernel does it all. On the CPU it computes the scores of short
// sequences in full, masked half and all; beyond a thousand positions it leaves out most by itself.
bool one_call(int64_t length, int64_t window, double softcap, at::Device device) {
  if (window > 0 || softcap > 0) return false;
  return device_traits(device).skips_masked_scores || length > 1024 ||
         chunk_size(length, window) == length;
}

}  // namespace littlebit
