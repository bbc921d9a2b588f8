// AdamW over the student's flat buffers: the only place where latents live.
//
// One step, after the last micro-batch was accumulated (docs/architecture.md, "The step"):
// gradients of signs and scales from the raw sums, the surrogate's derivative, one global norm over
// all trainables, the clipping coefficient min(1, max / (norm + 1e-6)), AdamW (PyTorch's formula,
// bias-corrected), new sign bits. Weight decay acts on latents and scales, not on biases and norms
// (the rule of Hugging Face's trainer). fp32; fp64 where the student is fp64 (tests).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/optim/options.h"
#include "littlebit/quant/student.h"

namespace littlebit {

struct StepStatistics {
  double gradient_norm = 0;       // before clipping
  double sign_flip_fraction = 0;  // share of latent signs this update changed
};

// Latents and moments of one parameter group; layouts are the student group's.
struct OptimizerGroup {
  at::Tensor latents, latent_average, latent_square;  // [num_latents]
  at::Tensor vector_average, vector_square;  // [num_vectors]; the values are the student's vectors
};

class Optimizer {
 public:
  // Latents and moments start at zero; set the latents by StudentGroup::set_layer(...,
  // groups()[g].latents).
  Optimizer(Student& student, const OptimOptions& options, Surrogate surrogate);

  // Consumes the accumulated gradients and updates student and state. `step` counts from 1 (bias
  // correction). NumericsError, before anything is updated, where the gradient norm is not finite.
  StepStatistics step(int64_t step, double learning_rate);

  // The first half of step(), without the update: gradients finished and multiplied by the
  // surrogate's derivative in the student's buffers; returns the global norm. Tests compare these
  // gradients with autograd's.
  double finish_gradients();

  std::vector<OptimizerGroup>& groups() { return groups_; }
  const std::vector<OptimizerGroup>& groups() const { return groups_; }
  Student& student() { return student_; }

 private:
  Student& student_;
  OptimOptions options_;
  Surrogate surrogate_;
  std::vector<OptimizerGroup> groups_;
};

}  // namespace littlebit
