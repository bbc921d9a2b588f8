// The tensors of a checkpoint and what each is to the decoder: which layers' matrices (or biases),
// which norm parameter, embedding, head, or nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/export/folder.h"
#include "littlebit/export/stored_rows.h"
#include "tensor_list.h"

namespace littlebit {

// Rows of a tensor that a linear layer owns; the whole tensor where it is not a fused one.
struct LayerRows {
  size_t group, layer;  // StudentGroup and place in its layers()
  int64_t row_begin;
};

struct TeacherTensor {
  const TensorView* view = nullptr;
  std::string name;  // as the decoder calls it; "" where it does not know it
  Part part = &ByteTable::other;
  std::string parameter;          // norms: the Parameter's name
  std::vector<LayerRows> layers;  // linears and biases: ascending rows, all of them
};

// Every tensor of `teacher` (whose files are open), in its order.
std::vector<TeacherTensor> teacher_tensors(const HfFolder& teacher, const ModelSpec& spec);

ByteTable stored_byte_table(const std::vector<TeacherTensor>& tensors);

}  // namespace littlebit
