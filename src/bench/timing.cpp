// Wall-clock time on the CPU, the device's own events elsewhere.
#include "timing.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "littlebit/core/stopwatch.h"
#include "littlebit/nn/part_clock.h"

namespace littlebit {
namespace {

// More than the last-level caches of most processors, and of every GPU so far.
constexpr int64_t kCacheBytes = int64_t{256} << 20;

// A line of /proc/self/status ("VmRSS", "VmHWM") in bytes; 0 where there is none.
int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

const c10::CachingDeviceAllocator::Stat& allocated(
    const c10::CachingDeviceAllocator::DeviceStats& stats) {
  return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

DeviceTimer::DeviceTimer(at::Device device, int64_t repeats)
    : device_(device),
      repeats_(repeats),
      cache_filler_(at::zeros({kCacheBytes}, at::TensorOptions().dtype(at::kByte).device(device))) {
}

double DeviceTimer::measure(const std::function<void()>& work, bool cold) const {
  PartClock clock(device_, 1);
  const Stopwatch first;
  work();
  synchronize(device_);
  const int64_t runs = first.seconds() > 1 ? 1 : repeats_;
  std::vector<double> seconds;
  for (int64_t i = 0; i < runs; ++i) {
    if (cold) cache_filler_.fill_(i);
    clock.enter(0);
    work();
    seconds.push_back(clock.take()[0]);
  }
  return median(std::move(seconds));
}

PeakMemory::PeakMemory(at::Device device) : device_(device) {
  release_memory(device_);
  reset();
  start_ = bytes();
}

void PeakMemory::reset() {
  if (device_.is_cpu()) {
    std::ofstream file("/proc/self/clear_refs");
    file << "5";  // VmHWM begins again at VmRSS
    return;
  }
  at::getDeviceAllocator(device_.type())->resetPeakStats(device_.index());
}

int64_t PeakMemory::bytes() const {
  if (device_.is_cpu()) return status_bytes("VmHWM") - status_bytes("RssFile") - start_;
  return allocated(at::getDeviceAllocator(device_.type())->getDeviceStats(device_.index())).peak -
         start_;
}

void release_memory(at::Device device) {
  if (device.is_cpu()) {
    malloc_trim(0);
  } else {
    at::getDeviceAllocator(device.type())->emptyCache();
  }
}

}  // namespace littlebit
