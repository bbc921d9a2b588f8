// safetensors bytes <-> at::Tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"

namespace littlebit {

at::ScalarType scalar_type(
    Dtype dtype);  // InputError for dtypes ATen does not compute with (U16, U32, U64)
Dtype dtype_of(at::ScalarType type);  // LB_ASSERT for types the format does not have

// A tensor over the mapped bytes, no copy (a copy where the bytes are not aligned for the dtype).
// Valid while the file is open. Read-only by contract: never write into it.
at::Tensor map_tensor(const TensorView& view);

bool all_finite(const at::Tensor& x);  // of a floating type: no NaN, no infinity

// A copy in `dtype` on `device`; where dtype and device need no conversion, the mapped tensor
// itself. InputError naming the tensor and `where` (its file or folder) where a value is NaN or
// infinite.
at::Tensor load_tensor(const TensorView& view, at::ScalarType dtype, at::Device device,
                       const std::string& where);

// Writes the tensor's bytes (made contiguous, on the CPU) as the writer's next tensor.
void write_tensor(SafetensorsWriter& writer, const at::Tensor& tensor);

}  // namespace littlebit
