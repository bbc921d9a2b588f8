// DenseLinear: one matrix product over the weight as it lies in memory (mapped files included),
// never copied.
#include "littlebit/nn/linear.h"

#include <ATen/ops/linear.h>

#include "littlebit/core/error.h"

namespace littlebit {

at::Tensor Linear::to_latent(const at::Tensor& /*x*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor Linear::from_latent(const at::Tensor& /*latent*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor DenseLinear::forward(const at::Tensor& x) const {
  if (bias_.defined()) return at::linear(x, weight_, bias_);
  return at::linear(x, weight_);
}

}  // namespace littlebit
