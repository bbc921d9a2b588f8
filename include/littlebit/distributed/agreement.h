// Agreement about failures: an exception in one process becomes one in all, so that none waits for
// it in a collective call.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

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

// The same for what the first process makes and the others find: it runs there first, then in them.
void first_then_others(Communicator& processes, const std::function<void()>& action);

// Every process's number, by rank. A collective call.
std::vector<int64_t> numbers_of(Communicator& processes, int64_t mine);

}  // namespace littlebit
