// One optimizer step over the flat buffers, group by group. Whether the gradient is finite is known
// before a latent, a scale or a moment changes: a step is taken whole or not at all.
#include "littlebit/optim/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

// Elements per elementwise pass: on the CPU what stays in the cache, elsewhere what bounds the
// memory of temporaries.
int64_t chunk_of(const at::Tensor& flat) { return flat.is_cpu() ? 1 << 18 : 1 << 24; }

// sum (double, on the tensor's device, no waiting for it) += the squared norm.
void add_squared_norm(at::Tensor& sum, const at::Tensor& flat) {
  const int64_t chunk = chunk_of(flat);
  for (int64_t begin = 0; begin < flat.numel(); begin += chunk) {
    const int64_t count = std::min(chunk, flat.numel() - begin);
    sum.add_(at::linalg_vector_norm(flat.narrow(0, begin, count)).to(at::kDouble).square_());
  }
}

// d sign / d v of the surrogate at `latents`, in their dtype: specs section 2.
at::Tensor surrogate_derivative(const at::Tensor& latents, Surrogate surrogate) {
  if (surrogate == Surrogate::kSte) return latents.abs().lt(1).to(latents.scalar_type());
  at::Tensor t = at::tanh(latents * 100);
  return t.mul_(t).neg_().add_(1).mul_(100);
}

}  // namespace

Optimizer::Optimizer(Student& student, const OptimOptions& options, Surrogate surrogate)
    : student_(student), options_(options), surrogate_(surrogate) {
  for (const StudentGroup& group : student.groups()) {
    const auto zeros = [&](int64_t n) { return at::zeros({n}, group.vectors().options()); };
    const GroupLayout& layout = group.layout();
    groups_.push_back({.latents = zeros(layout.num_latents),
                       .latent_average = zeros(layout.num_latents),
                       .latent_square = zeros(layout.num_latents),
                       .vector_average = zeros(layout.num_vectors),
                       .vector_square = zeros(layout.num_vectors)});
  }
}

double Optimizer::finish_gradients() {
  c10::NoGradGuard no_grad;
  at::Tensor sum =
      at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(student_.decoder().device()));
  for (size_t g = 0; g < groups_.size(); ++g) {
    StudentGroup& group = student_.groups()[g];
    if (!group.latent_gradients().defined()) continue;
    group.finish_gradients();
    const at::Tensor &gradients = group.latent_gradients(), &latents = groups_[g].latents;
    const int64_t chunk = chunk_of(gradients);
    for (int64_t begin = 0; begin < gradients.numel(); begin += chunk) {
      const int64_t count = std::min(chunk, gradients.numel() - begin);
      gradients.narrow(0, begin, count)
          .mul_(surrogate_derivative(latents.narrow(0, begin, count), surrogate_));
    }
    add_squared_norm(sum, gradients);
    add_squared_norm(sum, group.vector_gradients());
  }
  return std::sqrt(sum.item<double>());
}

StepStatistics Optimizer::step(int64_t step, double learning_rate) {
  c10::NoGradGuard no_grad;
  StepStatistics statistics{.gradient_norm = finish_gradients()};
  if (!std::isfinite(statistics.gradient_norm)) {
    throw NumericsError(
        "the gradient norm of step " + std::to_string(step) + " is not finite; nothing was updated",
        "start a new output.dir with a lower optim.learning_rate, or look for damaged data");
  }
  const double clip = options_.max_grad_norm;
  const double coefficient =
      clip > 0 ? std::min(1.0, clip / (statistics.gradient_norm + 1e-6)) : 1.0;

  int64_t flips = 0, latents = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    StudentGroup& group = student_.groups()[g];
    if (!group.latent_gradients().defined()) continue;
    OptimizerGroup& state = groups_[g];
    const GroupLayout& layout = group.layout();
    const at::Tensor steps =
        at::full({}, static_cast<double>(step), group.vectors().options().dtype(at::kFloat));
    const auto update = [&](const at::Tensor& values, const at::Tensor& gradients,
                            const at::Tensor& average, const at::Tensor& square, double decay) {
      if (values.numel() == 0) return;
      at::_fused_adamw_({values}, {gradients}, {average}, {square}, {}, {steps}, learning_rate,
                        options_.beta1, options_.beta2, decay, options_.epsilon, /*amsgrad=*/false,
                        /*maximize=*/false);
    };
    if (coefficient < 1) {
      group.latent_gradients().mul_(coefficient);
      group.vector_gradients().mul_(coefficient);
    }
    update(state.latents, group.latent_gradients(), state.latent_average, state.latent_square,
           options_.weight_decay);
    const auto update_vectors = [&](int64_t first, int64_t count, double decay) {
      update(group.vectors().narrow(0, first, count),
             group.vector_gradients().narrow(0, first, count),
             state.vector_average.narrow(0, first, count),
             state.vector_square.narrow(0, first, count), decay);
    };
    update_vectors(0, layout.num_scales, options_.weight_decay);
    update_vectors(layout.num_scales, layout.num_vectors - layout.num_scales, 0);
    flips += update_signs(state.latents, group.bits());
    for (const Segment& segment : layout.latents) latents += segment.numel;
    group.zero_gradients();
  }
  statistics.sign_flip_fraction =
      latents > 0 ? static_cast<double>(flips) / static_cast<double>(latents) : 0;
  return statistics;
}

}  // namespace littlebit
