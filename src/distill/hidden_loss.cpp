// The difference, or what it is relative to the teacher, is the term: its norm the loss, itself the
// gradient.
#include "littlebit/distill/hidden_loss.h"

#include <ATen/core/Tensor.h>

#include "littlebit/ops/relative_row_difference.h"
#include "littlebit/ops/squared_difference.h"

namespace littlebit {

HiddenTerm squared_error(const at::Tensor& student, const at::Tensor& teacher, double scale,
                         at::ScalarType dtype) {
  // loss = scale |s - t|^2, and its gradient 2 scale (s - t).
  auto [difference, squared_norm] = squared_difference(student, teacher, dtype);
  return {
      .loss = squared_norm.mul_(scale), .direction = std::move(difference), .factor = 2 * scale};
}

HiddenTerm relative_error(const at::Tensor& student, const at::Tensor& teacher, double scale,
                          at::ScalarType dtype) {
  // loss = scale |s - t|^2 / |t|^2 by positions, and its gradient 2 scale (s - t) / |t|^2.
  auto [direction, error] = relative_row_difference(student, teacher, dtype);
  return {.loss = error.mul_(scale), .direction = std::move(direction), .factor = 2 * scale};
}

}  // namespace littlebit
