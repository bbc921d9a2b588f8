// Which group connects the processes of which device.
#include "littlebit/distributed/process_group.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "distributed/device_communicator.h"
#include "distributed/gloo_communicator.h"
#include "distributed/nccl_backend.h"

namespace littlebit {
namespace {

// Without the end of anything: what is under way on a device would be waited for.
void end_now(const Error& error) {
  std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
  std::fflush(nullptr);
  std::_Exit(static_cast<int>(error.code()));
}

}  // namespace

std::unique_ptr<Communicator> make_communicator(const Environment& environment, at::Device device,
                                                const ProcessGroupOptions& options) {
  if (environment.world == 1) return make_solo();
  std::unique_ptr<HostCommunicator> hosts = make_gloo_communicator(environment, options);
  if (device.is_cpu()) return hosts;
  c10::intrusive_ptr<c10d::Backend> backend =
      connect_nccl(environment, device, hosts->store("nccl"));
  return std::make_unique<DeviceCommunicator>(std::move(hosts), std::move(backend), device,
                                              options.end_process ? options.end_process : end_now);
}

}  // namespace littlebit
