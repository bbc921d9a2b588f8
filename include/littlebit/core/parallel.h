// Threads for torch-free work (tokenising, hashing). Tensor work uses ATen's own pool.
#pragma once

#include <cstdint>
#include <functional>

namespace littlebit {

int hardware_threads();  // cores this process may use (affinity, cgroup quota), at least 1

// Calls body(i) for i in [0, n) on up to `threads` threads, indices handed out one by one. Returns
// when all are done. The exception of the lowest index that fails is rethrown here after the others
// finished, whatever the threads; later indices are then skipped.
void parallel_for(int64_t n, int threads, const std::function<void(int64_t)>& body);

}  // namespace littlebit
