// What a packed folder holds, tensor by tensor.
#pragma once

#include <span>

#include "littlebit/export/stored_rows.h"
#include "tensor_list.h"

namespace littlebit {

// In the order of the file. `target_bits` is what was asked for per weight. The student must
// outlive the list.
TensorList packed_tensors(const Student& student, std::span<const LayerPlan> plans,
                          double target_bits, const StoredRows& rows);

}  // namespace littlebit
