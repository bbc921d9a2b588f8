// Faults of the disk, for tests.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

namespace littlebit {

// Test hook: called with a word and the path before every "open" (to write, lock or flush), "lock",
// "mkdir", "write", "fsync", "rename" (by the new name) and "exchange" (two folders swap names);
// not 0: the errno of a failed call. One hook a process, nullptr by default. Not thread-safe to
// change while writing.
using FaultHook = std::function<int(std::string_view operation, const std::filesystem::path& path)>;
void set_fault_hook(FaultHook hook);

}  // namespace littlebit
