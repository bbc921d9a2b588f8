// Test hook: points at which a test kills a process, as a power failure would.
//
// LITTLEBIT_KILL_AT=POINT:COUNT sends SIGKILL to this process when it passes the point for the
// COUNT-th time (from 1 on); with :RANK behind it, only to the process whose variable RANK is that.
// The points: factorisation (behind a layer), reduce, update, gather (in a step, for each group),
// write (before each tensor of a checkpoint), before_rename (a folder is whole, not yet published),
// between_renames (an older folder has lost its name, and is still there).
#pragma once

#include <string_view>

namespace littlebit {

void kill_point(std::string_view name);  // any thread; nothing where the variable is not set

}  // namespace littlebit
