// No exception leaves a process out of a collective call: what fails in one fails in all.
#pragma once

#include <functional>

#include "littlebit/distributed/communicator.h"

namespace littlebit {

// How long a process may take for what is not a step: a model to read, a text to tokenise or to
// score, a checkpoint to write.
inline constexpr double kLongSeconds = 4 * 3600;
inline constexpr double kStepSeconds = 600;  // and for one step

// Runs `action`, which makes no collective calls, in every process. Where it throws in one it
// throws in all: there what it threw, in the others an Error of the same kind that names the
// process. A collective call itself.
void in_all(Communicator& processes, const std::function<void()>& action);

}  // namespace littlebit
