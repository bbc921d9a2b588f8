// Tensors as the bytes of a file, a block of rows at a time: neither writing nor comparing needs a
// second copy of a large tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/ops/grouped_rows.h"

namespace littlebit {

// The tensor in `dtype`, rounded where that is narrower.
void write_rounded(SafetensorsWriter& writer, const at::Tensor& tensor, at::ScalarType dtype);
void write_rounded(SafetensorsWriter& writer, const GroupedRows& matrix, at::ScalarType dtype);

// Whether `view` holds exactly the bytes of the tensor in `dtype`.
bool same_bytes(const TensorView& view, const at::Tensor& tensor, at::ScalarType dtype);

}  // namespace littlebit
