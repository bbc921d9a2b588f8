// The CPU share a control group (version 2) grants. Inside core only; apart from parallel.cpp for
// its test.
#pragma once

#include <filesystem>
#include <string_view>

namespace littlebit {

// The smallest quota in cores on the way from the process's group to the root of `mount` (normally
// /sys/fs/cgroup); infinity where nothing limits. `self_cgroup` is the text of /proc/self/cgroup.
double cgroup_cpu_quota(const std::filesystem::path& mount, std::string_view self_cgroup);

}  // namespace littlebit
