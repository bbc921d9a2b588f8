// The summary of a device check (tests/device/check.sh).
#pragma once

#include <filesystem>

#include "littlebit/core/error.h"

namespace littlebit {

// What tests/device/check.sh found, out of the files in `folder` (that script says which): writes
// check.json and check.md there. kBug where a part failed, ran out of its time or left no result.
ExitCode report_device_check(const std::filesystem::path& folder);

}  // namespace littlebit
