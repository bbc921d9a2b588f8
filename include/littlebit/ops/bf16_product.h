// Products with matrices that stay in bf16, as they are stored, summed in fp32. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// x [..., d_in] in fp32 or bf16 times the transpose of `weight` [d_out, d_in] in bf16: the sums as
// they are, [..., d_out] in fp32. Exactly the numbers that the widened matrix holds, of which only
// a part exists at a time (none for a few rows of x on the CPU, or for x in bf16 on a GPU).
at::Tensor bf16_product(const at::Tensor& x, const at::Tensor& weight);

// The operation itself (src/ops/operation.h).
struct Bf16Product {
  static constexpr char kName[] = "littlebit::bf16_product";
  static constexpr char kArguments[] = "(Tensor x, Tensor weight) -> Tensor";
  static constexpr bool kTwinDifferentiates = false;
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& weight);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& weight);
  static at::Tensor cuda(const at::Tensor& x, const at::Tensor& weight);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
