// Wall-clock time on the CPU, the device's own events elsewhere.
#include "littlebit/device/device_timer.h"

#include <ATen/ops/zeros.h>

#include <algorithm>

#include "littlebit/core/stopwatch.h"
#include "littlebit/device/part_clock.h"
#include "littlebit/kernels/caches.h"

namespace littlebit {
namespace {

// More than the last-level caches of most processors, and of every GPU so far.
constexpr int64_t kCacheBytes = int64_t{256} << 20;

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

DeviceTimer::DeviceTimer(at::Device device, int64_t repeats) : device_(device), repeats_(repeats) {}

double DeviceTimer::warm(const std::function<void()>& work) const {
  return measure(work, [](int64_t) {});
}

double DeviceTimer::cold(const std::function<void()>& work) const {
  return measure(work, [this](int64_t run) { fill_caches(run); });
}

double DeviceTimer::cold(const std::vector<at::Tensor>& operands,
                         const std::function<void()>& work) const {
  if (!device_.is_cpu()) return cold(work);
  return measure(work, [&](int64_t) {
    for (const at::Tensor& each : operands) evict_from_caches(each.const_data_ptr(), each.nbytes());
  });
}

int64_t DeviceTimer::bytes_for_operands() const {
  return device_.is_cpu() || cache_filler_.defined() ? 0 : kCacheBytes;
}

double DeviceTimer::measure(const std::function<void()>& work,
                            const std::function<void(int64_t)>& before) const {
  PartClock clock(device_, 1);
  const Stopwatch first;
  work();
  synchronize(device_);
  const int64_t runs = first.seconds() > 1 ? 1 : repeats_;
  std::vector<double> seconds;
  for (int64_t i = 0; i < runs; ++i) {
    before(i);
    clock.enter(0);
    work();
    seconds.push_back(clock.take()[0]);
  }
  return median(std::move(seconds));
}

void DeviceTimer::fill_caches(int64_t value) const {
  if (!cache_filler_.defined()) {
    cache_filler_ = at::zeros({kCacheBytes}, at::TensorOptions().dtype(at::kByte).device(device_));
  }
  cache_filler_.fill_(value);
}

}  // namespace littlebit
