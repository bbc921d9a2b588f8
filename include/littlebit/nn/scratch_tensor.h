// Tensors whose memory is a nameless file's (core/scratch_memory.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace littlebit {

// Zeros on the CPU, in a file of `folder`. OutputError where there is no room for it.
at::Tensor scratch_zeros(const std::filesystem::path& folder, const std::vector<int64_t>& sizes,
                         at::ScalarType dtype);

// Lets go of the main memory of a contiguous tensor of this kind, or a part of one; what it holds
// stays. Any other tensor is left as it is.
void drop_scratch_pages(const at::Tensor& tensor);

}  // namespace littlebit
