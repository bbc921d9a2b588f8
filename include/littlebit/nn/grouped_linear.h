// An LM head whose matrix stays in groups of 8- or 4-bit integers, as it was exported.
#pragma once

#include "littlebit/nn/linear.h"
#include "littlebit/ops/grouped_rows.h"

namespace littlebit {

// y = x W^T. Frozen; no autograd. Nothing wide is made of the whole matrix.
class GroupedLinear : public Linear {
 public:
  explicit GroupedLinear(GroupedRows weight) : weight_(std::move(weight)) {}
  at::Tensor forward(const at::Tensor& x) const override;
  at::Tensor forward_unrounded(const at::Tensor& x) const override;
  const GroupedRows& weight() const { return weight_; }

 private:
  GroupedRows weight_;
};

}  // namespace littlebit
