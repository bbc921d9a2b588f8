// The options of a run in LibTorch's words.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "littlebit/eval/options.h"

namespace littlebit {

at::ScalarType compute_type(EvalDtype dtype);
void use_threads(int64_t threads);  // 0: every core this process may use

}  // namespace littlebit
