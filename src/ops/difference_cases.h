// Cases of the operations on two matrices of one shape that give their difference, in a type of its
// own, and a sum.
#pragma once

#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// narrow_tolerance: of those whose difference is stored in bf16.
std::vector<OperationCase> difference_cases(const char* operation, double narrow_tolerance);

}  // namespace littlebit
