// The tensors of a packed folder in the order of the file.
#include "packed_tensors.h"

#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include "littlebit/core/error.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/stored_rows.h"

namespace littlebit {
namespace {

void add_signs(TensorList& list, const std::string& name, const SignMatrix& signs) {
  const int64_t rows = signs.rows(), cols = signs.cols();
  list.push_back(
      {name + "_packed", &ByteTable::signs, at::kInt, {rows, (cols + 31) / 32}, [&signs] {
         return signs.padded_words();
       }});
  list.push_back({name + "_shape", &ByteTable::other, at::kLong, {2}, [rows, cols] {
                    return at::tensor({rows, cols}, at::kLong);
                  }});
}

void add_number(TensorList& list, const std::string& name, at::ScalarType dtype, double value) {
  list.push_back({name, &ByteTable::other, dtype, {}, [dtype, value] {
                    return at::scalar_tensor(value, dtype);
                  }});
}

void add_layer(TensorList& list, const LittleBitLinear& layer, const LayerPlan& plan,
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
      add_vector(list, prefix + name + suffix, &ByteTable::scales, at::kBFloat16,
                 {1, scale->numel()}, *scale);
    }
  }
  if (layer.bias().defined()) {
    add_vector(list, prefix + "bias", &ByteTable::biases, at::kBFloat16, {layer.bias().numel()},
               layer.bias());
  }
  add_number(list, prefix + "_eff_bit_target", at::kBFloat16, target_bits);
  add_number(list, prefix + "_eff_bit_actual", at::kBFloat16, plan.effective_bits());
  add_number(list, prefix + "_split_dim_final", at::kLong, static_cast<double>(plan.rank));
}

}  // namespace

TensorList packed_tensors(const Student& student, std::span<const LayerPlan> plans,
                          double target_bits, const StoredRows& rows) {
  TensorList list;
  add_embeddings(list, student.decoder(), rows);
  size_t next = 0;
  for (const StudentGroup& group : student.groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      LB_ASSERT(next < plans.size(), "a plan for every layer");
      add_layer(list, *layer, plans[next++], target_bits);
    }
    add_norms(list, group);
  }
  LB_ASSERT(next == plans.size(), "a layer for every plan");
  add_head(list, student.decoder(), rows);
  sort_by_width(list);
  return list;
}

}  // namespace littlebit
