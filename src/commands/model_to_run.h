// The model that a command runs.
#pragma once

#include "littlebit/eval/options.h"

namespace littlebit {

void require_model(const ModelOptions& options);  // UsageError where none was given

}  // namespace littlebit
