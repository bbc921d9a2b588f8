// The tensors of an exported file: one list for writing, checking and counting.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "littlebit/export/folder.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/quant/student.h"

namespace littlebit {

using Part = uint64_t ByteTable::*;

struct ListedTensor {
  std::string name;
  Part part;
  at::ScalarType dtype;  // as stored
  std::vector<int64_t> shape;
  std::function<at::Tensor()> value;  // as in memory, any dtype; made on demand

  uint64_t bytes() const;
};

using TensorList = std::vector<ListedTensor>;

void add_vector(TensorList& list, const std::string& name, Part part, at::ScalarType dtype,
                std::vector<int64_t> shape, const at::Tensor& vector);

// Embedding and positions; norms of a group; the head. In bf16 or as `rows` has them; a tied head
// too, as the authors write it, unless the one matrix is in groups.
void add_embeddings(TensorList& list, const Decoder& decoder, const StoredRows& rows);
void add_norms(TensorList& list, const StudentGroup& group);
void add_head(TensorList& list, const Decoder& decoder, const StoredRows& rows);

// Wide elements first: every tensor of the file is aligned then, which some readers rely on.
void sort_by_width(TensorList& list);

// Writes model.safetensors in `folder`; returns its bytes by part.
ByteTable write_tensors(const std::filesystem::path& folder, const TensorList& list);

// Reads it back. InputError naming the first tensor that differs or does not belong.
void compare_tensors(const std::filesystem::path& folder, const TensorList& list);

}  // namespace littlebit
