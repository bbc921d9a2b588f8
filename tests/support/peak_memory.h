// Resident memory of this process, as the kernel counts it.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace littlebit::test {

// A line of /proc/self/status ("VmRSS", "VmHWM") in bytes; 0 where there is none.
inline int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

// Makes VmHWM begin again at VmRSS; false where the system does not let it.
inline bool reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5";
  return static_cast<bool>(file.flush());
}

}  // namespace littlebit::test
