// A linear layer's product with its bias, by ops/product.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// x W^T + b: x [..., k], weight [n, k], bias [n] or undefined, of one type on one device; the
// weight may be in bf16 beside x in fp32 (matmul_nt). Records autograd history where grad mode is
// on and any of them requires a gradient.
at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// The operation itself (src/ops/operation.h).
struct Affine {
  static constexpr char kName[] = "littlebit::affine";
  static constexpr char kArguments[] = "(Tensor x, Tensor weight, Tensor? bias) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& weight,
                        const std::optional<at::Tensor>& bias);
  static at::Tensor autograd_cpu(const at::Tensor& x, const at::Tensor& weight,
                                 const std::optional<at::Tensor>& bias);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
