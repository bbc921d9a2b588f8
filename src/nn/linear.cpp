// DenseLinear: one matrix product over the weight as it lies in memory (mapped files included),
// never copied.
#include "littlebit/nn/linear.h"

#include <c10/core/GradMode.h>

#include "littlebit/core/error.h"
#include "littlebit/ops/affine.h"
#include "littlebit/ops/bf16_product.h"
#include "littlebit/ops/product.h"

namespace littlebit {

std::vector<at::Tensor> Linear::forward_beside(at::ArrayRef<const Linear*> others,
                                               const at::Tensor& x) const {
  std::vector<at::Tensor> results{forward(x)};
  for (const Linear* other : others) results.push_back(other->forward(x));
  return results;
}

at::Tensor Linear::to_latent(const at::Tensor& /*x*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor Linear::from_latent(const at::Tensor& /*latent*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor Linear::forward_unrounded(const at::Tensor& /*x*/) const {
  LB_ASSERT(false, "a layer that can be no head");
}

at::Tensor Linear::input_gradient(const at::Tensor& /*dy*/) const {
  LB_ASSERT(false, "a layer that has no gradient of its own");
}

at::Tensor DenseLinear::forward(const at::Tensor& x) const { return affine(x, weight_, bias_); }

at::Tensor DenseLinear::forward_unrounded(const at::Tensor& x) const {
  if (weight_.scalar_type() != at::kBFloat16 || x.scalar_type() == at::kFloat) return forward(x);
  const at::Tensor y = bf16_product(x, weight_);
  return bias_.defined() ? y + bias_ : y;
}

at::Tensor DenseLinear::input_gradient(const at::Tensor& dy) const {
  const c10::NoGradGuard no_grad;
  const at::Tensor rows = dy.reshape({-1, dy.size(-1)});
  std::vector<int64_t> shape = dy.sizes().vec();
  shape.back() = weight_.size(1);
  return matmul_nt(rows, weight_.t()).view(shape);
}

}  // namespace littlebit
