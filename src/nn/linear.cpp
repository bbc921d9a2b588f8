// DenseLinear: one matrix product over the weight as it lies in memory (mapped files included),
// never copied.
#include "littlebit/nn/linear.h"

#include <c10/core/GradMode.h>

#include "littlebit/core/error.h"
#include "littlebit/ops/bf16_product.h"
#include "littlebit/ops/product.h"

namespace littlebit {

at::Tensor Linear::to_latent(const at::Tensor& /*x*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor Linear::from_latent(const at::Tensor& /*latent*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor DenseLinear::forward(const at::Tensor& x) const { return affine(x, weight_, bias_); }

at::Tensor linear_as_stored(const at::Tensor& x, const at::Tensor& weight) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(x.scalar_type() == at::kFloat, "dtypes");
  return bf16_product(x, weight);
}

at::Tensor linear_widened(const at::Tensor& x, const at::Tensor& weight) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(x.scalar_type() == at::kBFloat16, "dtypes");
  return bf16_product(x, weight);
}

}  // namespace littlebit
