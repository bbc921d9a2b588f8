// The difference is the term: its norm the loss, itself the gradient.
#include "littlebit/distill/hidden_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>

namespace littlebit {

HiddenTerm squared_error(const at::Tensor& student, const at::Tensor& teacher, double scale,
                         at::ScalarType dtype) {
  const at::Tensor difference = student - teacher;
  return {.loss = at::linalg_vector_norm(difference).to(at::kDouble).square_().mul_(scale),
          .direction = difference.to(dtype),
          .factor = 2 * scale};
}

}  // namespace littlebit
