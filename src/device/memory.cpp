// The system's and the allocators' counts.
#include "littlebit/device/memory.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <malloc.h>

#include <fstream>
#include <string>

#include "littlebit/core/memory.h"

namespace littlebit {
namespace {

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

double free_memory(at::Device device) {
  if (device.is_cpu()) return available_memory();
  return static_cast<double>(
      at::getDeviceAllocator(device.type())->getMemoryInfo(device.index()).first);
}

void release_memory(at::Device device) {
  if (device.is_cpu()) {
    malloc_trim(0);
  } else {
    at::getDeviceAllocator(device.type())->emptyCache();
  }
}

}  // namespace littlebit
