// The frame around a program's work, whether several processes share it or one does it alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "littlebit/core/kinds.h"
#include "littlebit/distributed/communicator.h"

namespace littlebit {

struct ProcessPlace {
  Communicator& processes;
  int64_t threads = 0;      // to compute with; 0: every core
  int64_t local_rank = 0;   // for open_device()
  int64_t local_world = 1;  // of the processes, those on this host
};

// Runs `work` in this process of those that the environment tells of (distributed/environment.h),
// or in the only one, and returns its exit code. All but the first show problems only. `threads` as
// asked, 0: this process's share of the host's cores. `device`, `key`: as for open_device(). What
// `work` throws is told to the others.
int among_processes(int64_t threads, DeviceKind device, const std::string& key,
                    const std::function<int(const ProcessPlace&)>& work);

}  // namespace littlebit
