// DenseLinear: one matrix product over the weight as it lies in memory (mapped files included),
// never copied.
#include "littlebit/nn/linear.h"

#include <ATen/ops/linear.h>

namespace littlebit {

at::Tensor DenseLinear::forward(const at::Tensor& x) const {
  if (bias_.defined()) return at::linear(x, weight_, bias_);
  return at::linear(x, weight_);
}

}  // namespace littlebit
