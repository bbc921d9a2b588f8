// The tensors of a packed folder in the order of the file. Their values are made when they are
// asked for, one at a time, so the list costs no memory.
#include "packed_tensors.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

using List = std::vector<PackedTensor>;

void add_vector(List& list, const std::string& name, Part part, std::vector<int64_t> shape,
                const at::Tensor& vector) {
  list.push_back({name, part, at::kBFloat16, std::move(shape), [vector] { return vector; }});
}

void add_signs(List& list, const std::string& name, const SignMatrix& signs) {
  const int64_t rows = signs.rows(), cols = signs.cols();
  list.push_back(
      {name + "_packed", &ByteTable::signs, at::kInt, {rows, (cols + 31) / 32}, [&signs] {
         return signs.padded_words();
       }});
  list.push_back({name + "_shape", &ByteTable::other, at::kLong, {2}, [rows, cols] {
                    return at::tensor({rows, cols}, at::kLong);
                  }});
}

void add_number(List& list, const std::string& name, at::ScalarType dtype, double value) {
  list.push_back({name, &ByteTable::other, dtype, {}, [dtype, value] {
                    return at::scalar_tensor(value, dtype);
                  }});
}

void add_layer(List& list, const LittleBitLinear& layer, const LayerPlan& plan,
               double target_bits) {
  LB_ASSERT(plan.name == layer.name(), "plans in the order of the layers");
  const std::string prefix = layer.name() + ".";
  for (size_t p = 0; p < layer.paths().size(); ++p) {
    const SignPath& path = layer.paths()[p];
    const std::string suffix = p == 0 ? "" : "_R";
    add_signs(list, prefix + "U" + suffix, path.U);
    add_signs(list, prefix + "V" + suffix, path.V);
    const std::pair<const char*, const at::Tensor*> scales[] = {
        {"u1", &path.u1}, {"u2", &path.u2}, {"v1", &path.v1}, {"v2", &path.v2}};
    for (const auto& [name, scale] : scales) {
      add_vector(list, prefix + name + suffix, &ByteTable::scales, {1, scale->numel()}, *scale);
    }
  }
  if (layer.bias().defined()) {
    add_vector(list, prefix + "bias", &ByteTable::biases, {layer.bias().numel()}, layer.bias());
  }
  add_number(list, prefix + "_eff_bit_target", at::kBFloat16, target_bits);
  add_number(list, prefix + "_eff_bit_actual", at::kBFloat16, plan.effective_bits());
  add_number(list, prefix + "_split_dim_final", at::kLong, static_cast<double>(plan.rank));
}

void add_parameters(List& list, const StudentGroup& group) {
  group.visit_vectors([&](VectorKind kind, const std::string& name, const at::Tensor& values) {
    if (kind != VectorKind::kNorm) return;
    add_vector(list, name, &ByteTable::norms, values.sizes().vec(), values);
  });
}

void add_frozen(List& list, const std::string& name, Part part, const at::Tensor& tensor) {
  if (tensor.defined()) add_vector(list, name, part, tensor.sizes().vec(), tensor);
}

// Under the matrix's own name and with a dimension more: no loader of plain matrices takes it.
void add_grouped(List& list, const std::string& name, Part part, const GroupedRows& matrix) {
  for (const auto& [suffix, tensor] : {std::pair{"", matrix.numbers}, {"_scale", matrix.scales}}) {
    list.push_back({name + suffix, part, tensor.scalar_type(), tensor.sizes().vec(),
                    [tensor = tensor] { return tensor; }});
  }
}

}  // namespace

uint64_t PackedTensor::bytes() const {
  uint64_t bytes = c10::elementSize(dtype);
  for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
  return bytes;
}

List packed_tensors(const Student& student, std::span<const LayerPlan> plans, double target_bits,
                    const StoredRows& rows) {
  const Decoder& decoder = student.decoder();
  List list;
  const std::string& embedding = decoder.frozen_names.embedding;
  if (rows.embedding) {
    add_grouped(list, embedding, &ByteTable::embeddings, *rows.embedding);
  } else {
    add_frozen(list, embedding, &ByteTable::embeddings, decoder.frozen.embedding);
  }
  add_frozen(list, decoder.frozen_names.positions, &ByteTable::embeddings,
             decoder.frozen.positions);
  size_t next = 0;
  for (const StudentGroup& group : student.groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      LB_ASSERT(next < plans.size(), "a plan for every layer");
      add_layer(list, *layer, plans[next++], target_bits);
    }
    add_parameters(list, group);
  }
  LB_ASSERT(next == plans.size(), "a layer for every plan");
  const std::string& head = decoder.head.weight.tensor;
  if (rows.head) {
    add_grouped(list, head, &ByteTable::head, *rows.head);
  } else if (!(decoder.spec().tied_embeddings && rows.embedding)) {
    // The authors' files hold a tied head too.
    add_frozen(list, head, &ByteTable::head, dense_weight(decoder.head));
  }
  // Wide elements first: every tensor of the file is aligned then, which some readers rely on.
  std::stable_sort(list.begin(), list.end(), [](const PackedTensor& a, const PackedTensor& b) {
    return c10::elementSize(a.dtype) > c10::elementSize(b.dtype);
  });
  return list;
}

}  // namespace littlebit
