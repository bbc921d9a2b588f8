// Processes on CPUs, connected by Gloo; and the hosts of processes on GPUs, which agree by it.
#pragma once

#include <memory>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "littlebit/distributed/process_group.h"

namespace littlebit {

class HostCommunicator : public Communicator {
 public:
  // Where the processes met; the caller's keys begin with `prefix`.
  virtual c10::intrusive_ptr<c10d::Store> store(const std::string& prefix) = 0;

  // What the processes do now, and how long one may wait for the others (enter()).
  virtual std::string phase() const = 0;
  virtual double timeout() const = 0;

  // Something beside this communicator did not come (`late`) or failed with `what`: the cause, in
  // one sentence that is the same for all processes that ask, or tell of a cause of their own
  // (fail()). Takes some seconds at most. From any thread.
  virtual std::string why_lost(bool late, const std::string& what) = 0;
};

// Of more than one process.
std::unique_ptr<HostCommunicator> make_gloo_communicator(const Environment& environment,
                                                         const ProcessGroupOptions& options);

}  // namespace littlebit
