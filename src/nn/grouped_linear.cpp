// See grouped_linear.h.
#include "littlebit/nn/grouped_linear.h"

namespace littlebit {

at::Tensor GroupedLinear::forward(const at::Tensor& x) const {
  return forward_unrounded(x).to(x.scalar_type());
}

at::Tensor GroupedLinear::forward_unrounded(const at::Tensor& x) const {
  return grouped_product(x, weight_);
}

}  // namespace littlebit
