// The difference is the term: its norm the loss, itself the gradient.
#include "littlebit/distill/hidden_loss.h"

#include <ATen/core/Tensor.h>

#include "littlebit/ops/squared_difference.h"

namespace littlebit {

HiddenTerm squared_error(const at::Tensor& student, const at::Tensor& teacher, double scale,
                         at::ScalarType dtype) {
  // loss = scale |s - t|^2, and its gradient 2 scale (s - t).
  auto [difference, squared_norm] = squared_difference(student, teacher, dtype);
  return {
      .loss = squared_norm.mul_(scale), .direction = std::move(difference), .factor = 2 * scale};
}

}  // namespace littlebit
