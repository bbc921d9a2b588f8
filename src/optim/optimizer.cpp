// One optimizer step over the flat buffers, group by group. Whether everything is finite is decided
// on the device, before a latent, a scale or a moment changes: a step is taken whole or not at all,
// and the host learns of it when it reads the statistics.
#include "littlebit/optim/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "littlebit/core/kill_point.h"
#include "littlebit/device/device.h"

namespace littlebit {
namespace {

int64_t chunk_of(const at::Tensor& flat) { return device_traits(flat.device()).numbers_at_a_time; }

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

double StepStatistics::read_gradient_norm() const { return std::sqrt(squared_norm.item<double>()); }

double StepStatistics::flip_fraction(double flips) const {
  return num_latents > 0 ? flips / static_cast<double>(num_latents) : 0;
}

double StepStatistics::read_sign_flip_fraction() const {
  return flip_fraction(sign_flips.item<double>());
}

Optimizer::Optimizer(Student& student, const OptimOptions& options, Surrogate surrogate,
                     Communicator& communicator, const StateKeeper& keeper)
    : student_(student),
      options_(options),
      surrogate_(surrogate),
      communicator_(communicator),
      squared_norm_(at::zeros(
          {}, at::TensorOptions().dtype(at::kDouble).device(student.decoder().device()))) {
  for (StudentGroup& group : student.groups()) {
    states_.emplace_back(group, slice_of(group.layout(), communicator.rank(), communicator.world()),
                         keeper);
  }
}

void Optimizer::reduce(size_t group, GroupGradients& gradients) {
  if (gradients.is_empty()) return;
  gradients.finish();
  communicator_.all_reduce_sum(gradients.vectors());
  kill_point("reduce");
  const Slice slice = states_[group].slice();
  accept(group, communicator_.reduce_scatter_sum(gradients.latents(), slice.begin, slice.end),
         gradients.vectors());
  reduced_.back().gradients = &gradients;
}

void Optimizer::accept(size_t group, const at::Tensor& latents, const at::Tensor& vectors) {
  c10::NoGradGuard no_grad;
  GroupState& state = states_[group];
  const int64_t chunk = chunk_of(latents);
  for (int64_t begin = 0; begin < latents.numel(); begin += chunk) {
    const int64_t count = std::min(chunk, latents.numel() - begin);
    latents.narrow(0, begin, count)
        .mul_(surrogate_derivative(state.latents().narrow(0, begin, count), surrogate_));
  }
  add_squared_norm(squared_norm_, latents);
  // Every process has all of the vectors: they count once.
  if (communicator_.is_first()) add_squared_norm(squared_norm_, vectors);
  reduced_.push_back({.state = &state, .latents = latents, .vectors = vectors});
}

StepStatistics Optimizer::step(int64_t step, const Rates& rates, const at::Tensor& must_be_finite) {
  c10::NoGradGuard no_grad;
  // One sum for all that decides about the update.
  const bool with_more = must_be_finite.defined();
  const at::Tensor more = with_more ? must_be_finite.view({-1}) : at::Tensor();
  const at::Tensor sums =
      with_more ? at::cat({squared_norm_.view({1}), more}) : squared_norm_.clone().view({1});
  communicator_.all_reduce_sum(sums);
  if (with_more) more.copy_(sums.narrow(0, 1, more.numel()));
  StepStatistics statistics{.squared_norm = sums[0],
                            .sign_flips = at::zeros({}, squared_norm_.options().dtype(at::kLong))};
  squared_norm_.zero_();
  const at::Tensor norm = statistics.squared_norm.sqrt();
  const at::Tensor not_finite =
      (with_more ? norm + more.sum() : norm).isfinite().logical_not().to(at::kFloat);
  at::Tensor coefficient;
  if (options_.max_grad_norm > 0) {
    coefficient = at::full_like(norm, options_.max_grad_norm).div_(norm + 1e-6).clamp_max_(1);
  }
  const at::Tensor step_number = at::full({}, static_cast<double>(step), not_finite.options());
  const auto update = [&](const at::Tensor& values, const at::Tensor& gradients,
                          const at::Tensor& average, const at::Tensor& square, double rate,
                          double decay) {
    if (values.numel() == 0) return;
    at::_fused_adamw_({values}, {gradients}, {average}, {square}, {}, {step_number}, rate,
                      options_.beta1, options_.beta2, decay, options_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/not_finite);
  };
  for (const Reduced& reduced : reduced_) {
    const GroupState& state = *reduced.state;
    const StudentGroup& group = state.group();
    const GroupLayout& layout = group.layout();
    const at::Tensor& vectors = reduced.vectors;
    if (coefficient.defined()) {
      reduced.latents.mul_(coefficient);
      vectors.mul_(coefficient);
    }
    kill_point("update");
    update(state.latents(), reduced.latents, state.exp_avg(), state.exp_avg_sq(), rates.latents,
           options_.weight_decay);
    const auto update_vectors = [&](int64_t first, int64_t count, double rate, double decay) {
      const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, first, count); };
      update(part(group.vectors()), part(vectors), part(state.vector_exp_avg()),
             part(state.vector_exp_avg_sq()), rate, decay);
    };
    update_vectors(0, layout.num_scales, rates.scales, options_.weight_decay);
    update_vectors(layout.num_scales, layout.num_vectors - layout.num_scales, rates.norms, 0);
    state.update_bits(statistics.sign_flips);
    kill_point("gather");
    communicator_.all_gather(group.bits(), state.slice().begin / 32, state.slice().end / 32);
    statistics.num_latents += layout.num_unpadded_latents();
    if (reduced.gradients != nullptr) reduced.gradients->clear();
  }
  reduced_.clear();
  return statistics;
}

void Optimizer::refresh_bits() {
  for (const GroupState& state : states_) {
    state.update_bits();
    communicator_.all_gather(state.group().bits(), state.slice().begin / 32,
                             state.slice().end / 32);
  }
}

StepStatistics Optimizer::step(std::span<GroupGradients> gradients, int64_t step,
                               double learning_rate) {
  for (size_t group = 0; group < gradients.size(); ++group) reduce(group, gradients[group]);
  return this->step(step, {learning_rate, learning_rate, learning_rate});
}

}  // namespace littlebit
