// The loss on hidden states: one term per state, made in the forward pass, used in the backward.
#pragma once

#include <ATen/core/Tensor.h>

namespace littlebit {

// dLoss/d(student's state) = factor * direction. What depends on the data is in `direction`, so a
// scale may follow from layer and states without waiting for the device.
struct HiddenTerm {
  at::Tensor loss;       // weighted; a double scalar on the device
  at::Tensor direction;  // [B, T, H]
  double factor = 0;

  bool is_defined() const { return direction.defined(); }
};

// scale * ||student - teacher||^2, the norm taken in fp32 (fp64); the direction is kept in `dtype`.
HiddenTerm squared_error(const at::Tensor& student, const at::Tensor& teacher, double scale,
                         at::ScalarType dtype);

// scale * the sum over positions of ||student - teacher||^2 / ||teacher||^2, otherwise as above: no
// position outweighs the others by the size of its states.
HiddenTerm relative_error(const at::Tensor& student, const at::Tensor& teacher, double scale,
                          at::ScalarType dtype);

}  // namespace littlebit
