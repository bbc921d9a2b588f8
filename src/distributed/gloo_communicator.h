// Processes on CPUs, connected by Gloo.
#pragma once

#include <memory>

#include "littlebit/distributed/process_group.h"

namespace littlebit {

// Of more than one process.
std::unique_ptr<Communicator> make_gloo_communicator(const Environment& environment,
                                                     const ProcessGroupOptions& options);

}  // namespace littlebit
