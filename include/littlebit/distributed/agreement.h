// No exception leaves a process out of a collective call: what fails in one fails in all.
#pragma once

#include <functional>

#include "littlebit/distributed/communicator.h"

namespace littlebit {

// Runs `action`, which makes no collective calls, in every process. Where it throws in one it throws
// in all: there what it threw, in the others an Error of the same kind that names the process. A
// collective call itself.
void in_all(Communicator& processes, const std::function<void()>& action);

}  // namespace littlebit
