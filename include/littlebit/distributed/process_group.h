// Communicators over LibTorch's process groups (c10d): Gloo between CPUs; between GPUs NCCL, beside
// Gloo between their hosts.
#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>
#include <string>

#include "littlebit/core/error.h"
#include "littlebit/distributed/communicator.h"
#include "littlebit/distributed/environment.h"

namespace littlebit {

struct ProcessGroupOptions {
  double start_seconds = 600;    // how long to wait for the others to come
  double timeout_seconds = 600;  // of a call, until enter() says otherwise
  // On GPUs: ends the process where its devices wait for one that is lost, for then its host may
  // wait for the device for ever. Called once, from a thread of the communicator; what it does not
  // end stays as it is. By default it prints the error and ends with its code.
  std::function<void(const Error&)> end_process;
};

// Meets the other processes and returns when all are there; one process needs nobody. Every tensor
// that is given to it lies on `device`. On a GPU, sums are taken in NCCL's order, which is the same
// for the same processes on the same hosts, and those of bf16 in bf16. Error of exit code 75 where
// a process does not come (naming it) or the place to meet cannot be reached.
std::unique_ptr<Communicator> make_communicator(const Environment& environment, at::Device device,
                                                const ProcessGroupOptions& options = {});

// The processes of this one's host, connected once more, as a communicator that lives as long as
// `all`: its phases, time-outs and end are that one's, and its errors name ranks of all. Null, in
// all processes, where there is one host, or one process on some host; or, with a warning, where
// the names of hosts do not agree with `local_world`, the number of this host's processes.
// Collective.
Communicator* connect_host(Communicator& all, int64_t local_world,
                           const std::string& host = host_name());

}  // namespace littlebit
