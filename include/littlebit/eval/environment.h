// Provenance of results (versions, hardware, settings): a part of results.json and run.json.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "littlebit/io/json.h"

namespace littlebit {

// Versions of the program, LibTorch and the compiler, processor and device, threads, dtype.
Json environment_json(at::Device device, int threads, const std::string& dtype);

}  // namespace littlebit
