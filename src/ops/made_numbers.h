// Arguments of cases: the same numbers on every device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

namespace littlebit {

// Normal numbers that every type we compute in holds exactly, in fp32 on the CPU.
at::Tensor made_numbers(const std::string& name, const std::vector<int64_t>& shape);

at::Tensor made_words(const std::string& name, int64_t count);  // int32: any bits, flat

}  // namespace littlebit
