// Slurm's lists of hosts and of their tasks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

// Host names as `scontrol show hostnames` prints them for a list of Slurm's: "n[001-003,7]-ib[0-1],
// login" is n001-ib0, n001-ib1, n002-ib0, ... UsageError for what is no such list, or more than
// 65,536 hosts.
std::vector<std::string> parse_node_list(std::string_view list);

// Tasks on each node of Slurm's "2(x3),1": 2 2 2 1. UsageError as above.
std::vector<int64_t> parse_tasks_per_node(std::string_view list);

}  // namespace littlebit
