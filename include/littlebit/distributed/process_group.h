// Communicators over LibTorch's process groups (c10d): Gloo between CPUs. Of NCCL between GPUs only
// the factory's answer is here that says what is missing.
#pragma once

#include <c10/core/Device.h>

#include <memory>

#include "littlebit/distributed/communicator.h"
#include "littlebit/distributed/environment.h"

namespace littlebit {

struct ProcessGroupOptions {
  double start_seconds = 600;    // how long to wait for the others to come
  double timeout_seconds = 600;  // of a call, until enter() says otherwise
};

// Meets the other processes and returns when all are there; one process needs nobody. Every tensor
// that is given to it lies on `device`. UsageError where the device's processes cannot be connected
// by this program; Error of exit code 75 where a process does not come (naming it) or the place to
// meet cannot be reached.
std::unique_ptr<Communicator> make_communicator(const Environment& environment, at::Device device,
                                                const ProcessGroupOptions& options = {});

}  // namespace littlebit
