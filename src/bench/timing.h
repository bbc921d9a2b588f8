// Times and memory on a device. One thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace littlebit {

double median(std::vector<double> values);  // of at least one

class DeviceTimer {
 public:
  DeviceTimer(at::Device device, int64_t repeats);

  at::Device device() const { return device_; }
  int64_t repeats() const { return repeats_; }

  // Seconds of `work`, the median of `repeats` runs after one that is not counted; work that takes
  // over a second is run once more only. cold: its operands are driven out of the caches before
  // each run.
  double warm(const std::function<void()>& work) const { return measure(work, false); }
  double cold(const std::function<void()>& work) const { return measure(work, true); }

 private:
  double measure(const std::function<void()>& work, bool cold) const;

  at::Device device_;
  int64_t repeats_;
  at::Tensor cache_filler_;
};

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

// Gives memory that nothing uses any more back to the system.
void release_memory(at::Device device);

}  // namespace littlebit
