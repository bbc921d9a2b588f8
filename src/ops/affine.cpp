// y = x W^T + b of a dense layer. The product is ops/product.h's wherever that one is faster, and
// the bias is then added in place; where it would leave the product to ATen, at::linear does both.
#include "littlebit/ops/affine.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/linear.h>
#include <c10/core/GradMode.h>

#include "littlebit/ops/product.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {
at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return dispatched<Affine>().call(x, weight, optional_tensor(bias));
}

at::Tensor Affine::twin(const at::Tensor& x, const at::Tensor& weight,
                        const std::optional<at::Tensor>& bias) {
  // Every bf16 number is one in fp32: widening loses nothing.
  const bool widens = x.scalar_type() == at::kFloat && weight.scalar_type() == at::kBFloat16;
  return at::linear(x, widens ? weight.to(at::kFloat) : weight, bias);
}

at::Tensor Affine::cpu(const at::Tensor& x, const at::Tensor& weight,
                       const std::optional<at::Tensor>& bias) {
  if (!MatrixProduct::is_faster(x, weight)) return twin(x, weight, bias);
  const at::Tensor y = MatrixProduct::cpu(rows_of(x), weight).view(with_last(x, weight.size(0)));
  // In place: nobody else holds y yet.
  return bias ? y.add_(*bias) : y;
}

at::Tensor Affine::autograd_cpu(const at::Tensor& x, const at::Tensor& weight,
                                const std::optional<at::Tensor>& bias) {
  if (!MatrixProduct::is_faster(x, weight)) return twin(x, weight, bias);
  // MatrixProduct records itself; the bias is added out of place, as autograd wants it.
  if (c10::GradMode::is_enabled() &&
      (x.requires_grad() || weight.requires_grad() || (bias && bias->requires_grad()))) {
    const at::Tensor y =
        MatrixProduct::autograd_cpu(rows_of(x), weight).view(with_last(x, weight.size(0)));
    return bias ? y + *bias : y;
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return cpu(x, weight, bias);
}

std::vector<OperationCase> Affine::cases() {
  std::vector<OperationCase> cases;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const bool biased : {false, true}) {
      cases.push_back({.operation = kName,
                       .shape = std::string("3 x 5 rows, 33 x 48") + (biased ? ", bias" : ""),
                       .dtype = dtype,
                       .tolerance = dtype == at::kDouble  ? 1e-14
                                    : dtype == at::kFloat ? 1e-6
                                                          : 8e-3,
                       .flops = 2.0 * 15 * 33 * 48,
                       .arguments = [=](at::Device device) {
                         return torch::jit::Stack{
                             made_numbers("x", {3, 5, 48}).to(device, dtype),
                             made_numbers("weight", {33, 48}).to(device, dtype),
                             biased ? c10::IValue(made_numbers("bias", {33}).to(device, dtype))
                                    : c10::IValue()};
                       }});
    }
  }
  return cases;
}

}  // namespace littlebit
