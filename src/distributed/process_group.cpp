// Which group connects the processes of which device.
#include "littlebit/distributed/process_group.h"

#include "distributed/gloo_communicator.h"
#include "littlebit/core/error.h"

namespace littlebit {

std::unique_ptr<Communicator> make_communicator(const Environment& environment, at::Device device,
                                                const ProcessGroupOptions& options) {
  if (environment.world == 1) return make_solo();
  if (device.is_cpu()) return make_gloo_communicator(environment, options);
  throw UsageError("there are " + std::to_string(environment.world) + " processes (" +
                       environment.found + ") on GPUs, which NCCL would connect; this program " +
                       "connects processes on CPUs only",
                   "start one process, or set the device to cpu");
}

}  // namespace littlebit
