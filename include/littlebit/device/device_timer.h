// Measures repeated work on a device. One thread.
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
  // over a second is run once more only.
  double warm(const std::function<void()>& work) const;
  // As above, with the caches filled with something else before each run.
  double cold(const std::function<void()>& work) const;
  // As above, with these tensors alone driven out of the caches on the CPU, which needs no memory.
  double cold(const std::vector<at::Tensor>& operands, const std::function<void()>& work) const;
  // Memory that the last one takes beside the operands.
  int64_t bytes_for_operands() const;

 private:
  double measure(const std::function<void()>& work,
                 const std::function<void(int64_t)>& before) const;
  void fill_caches(int64_t value) const;

  at::Device device_;
  int64_t repeats_;
  mutable at::Tensor cache_filler_;  // from the first time that caches are filled
};

}  // namespace littlebit
