// Values are made when they are asked for, one at a time, so a list costs no memory.
#include "tensor_list.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/grouped_linear.h"
#include "littlebit/nn/tensor_io.h"
#include "model_files.h"
#include "tensor_blocks.h"

namespace littlebit {
namespace {

void add_frozen(TensorList& list, const std::string& name, Part part, const at::Tensor& tensor) {
  if (tensor.defined()) {
    add_vector(list, name, part, at::kBFloat16, tensor.sizes().vec(), tensor);
  }
}

// Under the matrix's own name and with a dimension more: no loader of plain matrices takes it.
void add_grouped(TensorList& list, const std::string& name, Part part, const GroupedRows& matrix) {
  for (const auto& [suffix, tensor] : {std::pair{"", matrix.numbers}, {"_scale", matrix.scales}}) {
    add_vector(list, name + suffix, part, tensor.scalar_type(), tensor.sizes().vec(), tensor);
  }
}

// A matrix that the decoder has in groups, and that goes to bf16.
void add_widened(TensorList& list, const std::string& name, Part part, const GroupedRows& matrix) {
  list.push_back({name, part, at::kBFloat16, {matrix.rows(), matrix.cols}, [matrix] {
                    return widen_rows(matrix, 0, matrix.rows());
                  }});
}

}  // namespace

uint64_t ListedTensor::bytes() const {
  uint64_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

void add_vector(TensorList& list, const std::string& name, Part part, at::ScalarType dtype,
                std::vector<int64_t> shape, const at::Tensor& vector) {
  list.push_back({name, part, dtype, std::move(shape), [vector] { return vector; }});
}

void add_embeddings(TensorList& list, const Decoder& decoder, const StoredRows& rows) {
  const FrozenNames& names = decoder.parts().frozen_names;
  const FrozenTensors& frozen = decoder.frozen();
  if (rows.embedding) {
    add_grouped(list, names.embedding, &ByteTable::embeddings, *rows.embedding);
  } else if (frozen.grouped_embedding) {
    add_widened(list, names.embedding, &ByteTable::embeddings, *frozen.grouped_embedding);
  } else {
    add_frozen(list, names.embedding, &ByteTable::embeddings, frozen.embedding);
  }
  add_frozen(list, names.positions, &ByteTable::embeddings, frozen.positions);
}

void add_norms(TensorList& list, const StudentGroup& group) {
  group.visit_vectors([&](VectorKind kind, const std::string& name, const at::Tensor& values) {
    if (kind != VectorKind::kNorm) return;
    add_vector(list, name, &ByteTable::norms, at::kBFloat16, values.sizes().vec(), values);
  });
}

void add_head(TensorList& list, const Decoder& decoder, const StoredRows& rows) {
  const std::string& name = decoder.head().weight.tensor;
  const auto* grouped = dynamic_cast<const GroupedLinear*>(decoder.head().linear.get());
  if (rows.head) {
    add_grouped(list, name, &ByteTable::head, *rows.head);
  } else if (decoder.spec().tied_embeddings && rows.embedding) {
    return;
  } else if (grouped != nullptr) {
    add_widened(list, name, &ByteTable::head, grouped->weight());
  } else {
    add_frozen(list, name, &ByteTable::head, dense_weight(decoder.head()));
  }
}

void sort_by_width(TensorList& list) {
  std::stable_sort(list.begin(), list.end(), [](const ListedTensor& a, const ListedTensor& b) {
    return c10::elementSize(a.dtype) > c10::elementSize(b.dtype);
  });
}

ByteTable write_tensors(const std::filesystem::path& folder, const TensorList& list) {
  ByteTable bytes;
  SafetensorsWriter writer(folder / "model.safetensors");
  writer.set_metadata(export_metadata());
  for (const ListedTensor& tensor : list) {
    writer.declare(tensor.name, dtype_of(tensor.dtype), tensor.shape);
    bytes.*tensor.part += tensor.bytes();
  }
  for (const ListedTensor& tensor : list) write_rounded(writer, tensor.value(), tensor.dtype);
  writer.commit();
  bytes.other += writer.header_bytes();
  return bytes;
}

void compare_tensors(const std::filesystem::path& folder, const TensorList& list) {
  HfFolder written(folder);
  written.open_tensors();
  for (const ListedTensor& tensor : list) {
    const TensorView& view = written.require(tensor.name);
    const bool form = view.dtype == dtype_of(tensor.dtype) && view.shape == tensor.shape;
    if (form && same_bytes(view, tensor.value(), tensor.dtype)) continue;
    throw InputError(
        folder.string() + ": tensor '" + tensor.name + "' (" + view.dtype_text() + " " +
            shape_text(view.shape) + ") differs from the model in memory (" +
            dtype_name(dtype_of(tensor.dtype)) + " " + shape_text(tensor.shape) + ")",
        "the disk or another program changed the file after it was written; export again");
  }
  const std::vector<std::string> extra = written.unused();
  if (!extra.empty()) {
    throw InputError(folder.string() + ": tensor '" + extra[0] + "' is not part of the model");
  }
}

}  // namespace littlebit
