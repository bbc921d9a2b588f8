// What control groups (version 2) grant: cores and memory. Inside core only.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace littlebit {

// The smallest quota in cores on the way from the process's group to the root of `mount` (normally
// /sys/fs/cgroup); infinity where nothing limits. `self_cgroup` is the text of /proc/self/cgroup.
double cgroup_cpu_quota(const std::filesystem::path& mount, std::string_view self_cgroup);

// The least memory in bytes that a group on that way leaves below its limit; pages of files count
// as free, since the system drops them first. Infinity where nothing limits.
double cgroup_memory_left(const std::filesystem::path& mount, std::string_view self_cgroup);

// The text of a file of the system; "" where there is none.
std::string system_text(const std::filesystem::path& path);

}  // namespace littlebit
