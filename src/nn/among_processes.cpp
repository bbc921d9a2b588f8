// See among_processes.h.
#include "littlebit/nn/among_processes.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/device/device.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/distributed/environment.h"
#include "littlebit/distributed/process_group.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/shared_problems.h"

namespace littlebit {
namespace {

// Destructors would wait for what a device is at.
[[noreturn]] void end_now(const Error& error) {
  log_error(error.what(), error.hint());
  std::fflush(nullptr);
  std::_Exit(static_cast<int>(error.code()));
}

}  // namespace

int among_processes(int64_t threads, DeviceKind device, const std::string& key,
                    const std::function<int(const ProcessPlace&)>& work) {
  const Environment environment = read_environment(environment_variables());
  if (environment.world == 1) {
    return work({.processes = solo(), .threads = threads, .local_rank = environment.local_rank});
  }
  if (environment.rank > 0) show_problems_only();
  share_problems(environment.rank == 0);
  log_info("process " + std::to_string(environment.rank) + " of " +
           std::to_string(environment.world) + " (" + environment.found + "), " +
           std::to_string(environment.local_world) + " on this host");
  if (threads == 0) threads = share_of_cores(environment, hardware_threads(), host_cores());
  use_threads(threads);
  const at::Device where = open_device(device, key, environment.local_rank);
  const std::unique_ptr<Communicator> processes =
      make_communicator(environment, where, {.end_process = end_now});
  try {
    const int code = work({.processes = *processes,
                           .threads = threads,
                           .local_rank = environment.local_rank,
                           .local_world = environment.local_world});
    in_all(*processes, [] {});  // the last warnings
    processes->finish();
    return code;
  } catch (const std::exception& error) {
    processes->fail(error.what());
    throw;
  }
}

}  // namespace littlebit
