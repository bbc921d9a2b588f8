// Processes on CPUs, connected by Gloo; and the hosts of processes on GPUs, which agree by it.
#pragma once

#include <memory>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "distributed/connected.h"
#include "littlebit/distributed/process_group.h"

namespace littlebit {

class HostCommunicator : public Connected {
 public:
  // As connect_part, for a caller who keeps it (no longer than this one), finishes and fails it.
  virtual std::unique_ptr<HostCommunicator> make_part(const std::vector<int64_t>& ranks) = 0;

  // Of this process where all of them met, if these are some of them; for errors.
  virtual int64_t rank_in_all() const = 0;

  // Where the processes met; the caller's keys begin with `prefix`.
  virtual c10::intrusive_ptr<c10d::Store> store(const std::string& prefix) = 0;

  // What the processes do now, and how long one may wait for the others (enter()).
  virtual std::string phase() const = 0;
  virtual double timeout() const = 0;

  // Something beside this communicator did not come (`late`) or failed with `what`: the cause, in
  // one sentence that is the same for all processes that ask, or tell of a cause of their own
  // (fail()). Takes some seconds at most. From any thread.
  virtual std::string why_lost(bool late, const std::string& what) = 0;

  // Before this process ends without a call of fail(): until the others have read why.
  virtual void stay() noexcept = 0;
};

// Of more than one process.
std::unique_ptr<HostCommunicator> make_gloo_communicator(const Environment& environment,
                                                         const ProcessGroupOptions& options);

}  // namespace littlebit
