// See memory.h.
#include "littlebit/core/memory.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "core/cgroup.h"
#include "littlebit/core/strings.h"

namespace littlebit {

double available_memory() {
  double available = 0;
  for (const std::string& line : split(system_text("/proc/meminfo"), '\n')) {
    constexpr std::string_view kKey = "MemAvailable:";
    if (line.starts_with(kKey)) available = 1024 * std::strtod(line.c_str() + kKey.size(), nullptr);
  }
  return std::min(available,
                  cgroup_memory_left("/sys/fs/cgroup", system_text("/proc/self/cgroup")));
}

}  // namespace littlebit
