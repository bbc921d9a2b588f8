// Tensors as the bytes of a file, a block of rows at a time: neither writing nor comparing needs a
// second copy of a large tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <span>

#include "littlebit/io/safetensors.h"

namespace littlebit {

// Calls visit(bytes) for consecutive blocks; together they are the tensor in `dtype`, contiguous.
// Rounds where `dtype` is narrower.
void visit_bytes(const at::Tensor& tensor, at::ScalarType dtype,
                 const std::function<void(std::span<const std::byte>)>& visit);

void write_rounded(SafetensorsWriter& writer, const at::Tensor& tensor, at::ScalarType dtype);

// Whether `view` holds exactly the bytes of the tensor in `dtype`.
bool same_bytes(const TensorView& view, const at::Tensor& tensor, at::ScalarType dtype);

}  // namespace littlebit
