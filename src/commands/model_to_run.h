// The model that a command runs.
#pragma once

#include <c10/core/ScalarType.h>

#include "littlebit/eval/options.h"

namespace littlebit {

void require_model(const ModelOptions& options);  // UsageError where none was given

at::ScalarType compute_type(EvalDtype dtype);

}  // namespace littlebit
