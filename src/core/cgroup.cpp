// Every group on the way to the root limits; the tightest counts.
#include "core/cgroup.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

double least_of_groups(const std::filesystem::path& mount, std::string_view self_cgroup,
                       const std::function<double(const std::filesystem::path& group)>& limit) {
  double least = kNoLimit;
  for (const std::string& line : split(self_cgroup, '\n')) {
    if (!line.starts_with("0::/")) continue;
    std::filesystem::path group = std::filesystem::path(line.substr(4)).lexically_normal();
    while (true) {
      least = std::min(least, limit(mount / group));
      if (group.empty()) break;
      group = group.parent_path();
    }
  }
  return least;
}

// "200000 100000" -> 2; infinity for "max 100000" and whatever else is no quota.
double parse_quota(const std::string& cpu_max) {
  char* end = nullptr;
  const double quota = std::strtod(cpu_max.c_str(), &end);
  const double period = std::strtod(end, nullptr);
  return quota > 0 && period > 0 ? quota / period : kNoLimit;
}

// A line "inactive_file 4096" of memory.stat; 0 where there is none.
double counted(const std::string& memory_stat, std::string_view key) {
  for (const std::string& line : split(memory_stat, '\n')) {
    if (line.starts_with(std::string(key) + " ")) {
      return std::strtod(line.c_str() + key.size() + 1, nullptr);
    }
  }
  return 0;
}

double memory_left(const std::filesystem::path& group) {
  const double limit = std::strtod(system_text(group / "memory.max").c_str(), nullptr);
  if (!(limit > 0)) return kNoLimit;  // "max", or no such file
  const double used = std::strtod(system_text(group / "memory.current").c_str(), nullptr);
  const std::string stat = system_text(group / "memory.stat");
  const double files = counted(stat, "inactive_file") + counted(stat, "active_file");
  return std::max(0.0, limit - std::max(0.0, used - files));
}

}  // namespace

std::string system_text(const std::filesystem::path& path) {
  try {
    return read_file(path, 1 << 20);
  } catch (const InputError&) {
    return "";
  }
}

double cgroup_cpu_quota(const std::filesystem::path& mount, std::string_view self_cgroup) {
  return least_of_groups(mount, self_cgroup, [](const std::filesystem::path& group) {
    return parse_quota(system_text(group / "cpu.max"));
  });
}

double cgroup_memory_left(const std::filesystem::path& mount, std::string_view self_cgroup) {
  return least_of_groups(mount, self_cgroup, memory_left);
}

}  // namespace littlebit
