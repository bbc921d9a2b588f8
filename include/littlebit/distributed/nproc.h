// The argument `--nproc N`.
#pragma once

#include <optional>

namespace littlebit {

// Where `--nproc N` stands among the arguments: starts N processes of this program with the other
// arguments, and returns the exit code. nullopt: this process is to do the work itself. UsageError:
// no number from 1 to 1024, or another launcher has started this process as one of several.
std::optional<int> launch_if_asked(int argc, char** argv);

}  // namespace littlebit
