// Memory in use on a device, and releasing what is not.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

// The most memory in use since reset(), in bytes, less what was in use at the construction: the
// allocator's count on a GPU, resident memory without pages of files on the CPU (a little too high
// where such pages were given back since).
class PeakMemory {
 public:
  explicit PeakMemory(at::Device device);
  void reset();
  int64_t bytes() const;

 private:
  at::Device device_;
  int64_t start_ = 0;
};

// Bytes that this process may still take: on the CPU of main memory (core/memory.h), else of the
// device's own.
double free_memory(at::Device device);

// Gives memory that nothing uses any more back to the system.
void release_memory(at::Device device);

}  // namespace littlebit
