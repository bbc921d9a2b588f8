// What a packed folder holds, tensor by tensor: one list for writing, checking and counting.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/export/folder.h"
#include "littlebit/quant/student.h"
#include "stored_rows.h"

namespace littlebit {

using Part = uint64_t ByteTable::*;

struct PackedTensor {
  std::string name;
  Part part;
  at::ScalarType dtype;  // as stored
  std::vector<int64_t> shape;
  std::function<at::Tensor()> value;  // as in memory, any dtype; made on demand

  uint64_t bytes() const;
};

// In the order of the file. `target_bits` is what was asked for per weight. The student must
// outlive the list.
std::vector<PackedTensor> packed_tensors(const Student& student, std::span<const LayerPlan> plans,
                                         double target_bits, const StoredRows& rows);

}  // namespace littlebit
