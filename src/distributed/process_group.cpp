// Which group connects the processes of which device.
#include "littlebit/distributed/process_group.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "distributed/device_communicator.h"
#include "distributed/gloo_communicator.h"
#include "distributed/nccl_backend.h"
#include "littlebit/device/device.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

// Without the end of anything: what is under way on a device would be waited for.
void end_now(const Error& error) {
  std::fprintf(stderr, "error: %s\nhint: %s\n", error.what(), error.hint().c_str());
  std::fflush(nullptr);
  std::_Exit(static_cast<int>(error.code()));
}

// All that told `told[rank]`. Empty where that is everybody, or not so of every host.
std::vector<int64_t> ranks_of_host(const std::vector<std::string>& told, int64_t rank) {
  std::map<std::string, std::vector<int64_t>> hosts;
  for (size_t r = 0; r < told.size(); ++r) hosts[told[r]].push_back(static_cast<int64_t>(r));
  const auto is_whole = [](const auto& host) {
    return std::to_string(host.second.size()) == host.first.substr(0, host.first.find(' '));
  };
  const auto is_alone = [](const auto& host) { return host.second.size() == 1; };
  if (!std::all_of(hosts.begin(), hosts.end(), is_whole)) {
    log_warning("it is not known which processes share a host: there are " +
                std::to_string(told.size()) +
                ", but the number with each host name does not agree with LOCAL_WORLD_SIZE or the "
                "launcher's variables");
    return {};
  }
  if (hosts.size() == 1 || std::any_of(hosts.begin(), hosts.end(), is_alone)) return {};
  return hosts.at(told[static_cast<size_t>(rank)]);
}

}  // namespace

std::unique_ptr<Communicator> make_communicator(const Environment& environment, at::Device device,
                                                const ProcessGroupOptions& options) {
  if (environment.world == 1) return make_solo();
  std::unique_ptr<HostCommunicator> hosts = make_gloo_communicator(environment, options);
  // GPUs' numbers travel by NCCL; texts, agreements and the search for a cause stay with Gloo.
  if (device_traits(device).is_host) return hosts;
  const auto connect = [device](HostCommunicator& each) {
    return connect_nccl(each.rank(), each.world(), device, each.store("nccl"), each.rank_in_all());
  };
  return std::make_unique<DeviceCommunicator>(std::move(hosts), connect, device,
                                              options.end_process ? options.end_process : end_now);
}

Communicator* connect_host(Communicator& all, int64_t local_world, const std::string& host) {
  // Each tells of how many it knows, and where it is: what follows is the same in all of them.
  const std::vector<std::string> told = all.gather(std::to_string(local_world) + " " + host);
  const std::vector<int64_t> ranks = ranks_of_host(told, all.rank());
  auto* connected = dynamic_cast<Connected*>(&all);
  return ranks.empty() || connected == nullptr ? nullptr : &connected->connect_part(ranks);
}

}  // namespace littlebit
