// One optimizer step over the flat buffers, group by group. Whether everything is finite is decided
// on the device, before a latent, a scale or a moment changes: a step is taken whole or not at all,
// and the host learns of it when it reads the statistics. Latents take two passes: clipping needs
// the norm of all gradients before any latent may move, and the first pass, which takes
// it, already multiplies them by the surrogate's derivative.
#include "littlebit/optim/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "littlebit/core/kill_point.h"
#include "littlebit/device/device.h"
#include "littlebit/device/side_stream.h"
#include "littlebit/ops/latent_gradients.h"
#include "optim/worker.h"

namespace littlebit {
namespace {

// Numbers of a piece of gradients on the host. Pinned memory is taken in powers of two: only the
// last piece of a group leaves some unused.
constexpr int64_t kHostPiece = int64_t{1} << 24;

// What gradients count times: min(1, max / (norm + 1e-6)); NaN, so that nothing is updated, where
// one of the sums is not finite. `sums`: StepStatistics.
at::Tensor clip_of(const at::Tensor& sums, double max_norm, at::ScalarType dtype) {
  // As torch.nn.utils.clip_grad_norm_ has it, including the small number in the divisor.
  const at::Tensor norm = sums[0].sqrt();
  const at::Tensor coefficient = max_norm > 0
                                     ? at::full_like(norm, max_norm).div_(norm + 1e-6).clamp_max_(1)
                                     : at::ones_like(norm);
  // The sum is finite only where all of them are.
  const at::Tensor all = norm + sums.narrow(0, 1, sums.numel() - 1).sum();
  return coefficient.masked_fill(all.isfinite().logical_not(), std::nan("")).to(dtype);
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
      state_device_(options.state_device == StateDevice::kCpu ? at::Device(at::kCPU) : device()),
      accepted_(student.groups().size()),
      squared_norm_(at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device()))) {
  // One slice of each group's latents per process; everything below works on slices.
  for (StudentGroup& group : student.groups()) {
    states_.emplace_back(group, slice_of(group.layout(), communicator.rank(), communicator.world()),
                         options.moments, state_device_, keeper);
  }
  if (state_device_ == device()) return;
  host_squared_norm_ = at::zeros({}, at::TensorOptions().dtype(at::kDouble));
  copies_.resize(states_.size());
  worker_ = std::make_unique<Worker>();  // one thread: pieces are summed in one order
}

Optimizer::~Optimizer() = default;

void Optimizer::reduce(size_t group, GroupGradients& gradients) {
  if (gradients.is_empty()) return;
  // A group by itself, as block-wise training and tests want it; a step over all groups goes
  // through the GradientReducer.
  gradients.finish();
  communicator_.all_reduce_sum(gradients.vectors());
  kill_point("reduce");
  const Slice slice = states_[group].slice();
  accept(group, communicator_.reduce_scatter_sum(gradients.latents(), slice.begin, slice.end),
         gradients.vectors());
  accepted_[group].gradients = &gradients;
}

void Optimizer::accept(size_t group, const at::Tensor& latents, const at::Tensor& vectors) {
  accept_latents(group, latents);
  accept_vectors(group, vectors);
}

void Optimizer::accept_latents(size_t group, const at::Tensor& latents) {
  c10::NoGradGuard no_grad;
  const GroupState& state = states_[group];
  std::vector<Piece>& pieces = accepted_[group].latents;
  if (!worker_) {
    pieces = {{0, latents}};
    add_latents(state, pieces[0], squared_norm_);
    return;
  }
  // The copy and this pass run beside the backward pass of the groups that follow.
  pieces = copy_to_host(group, latents);
  const auto copied = std::make_shared<StreamMark>(latents.device());
  copied->set();
  worker_->add([this, &state, &pieces, copied] {
    const c10::NoGradGuard no_grad_here;
    copied->wait_on_host();
    for (const Piece& piece : pieces) add_latents(state, piece, host_squared_norm_);
  });
}

void Optimizer::accept_vectors(size_t group, const at::Tensor& vectors) {
  c10::NoGradGuard no_grad;
  accepted_[group].vectors = vectors;
  // Every process has all of the vectors: they count once.
  if (!communicator_.is_first()) return;
  squared_norm_.add_(
      at::linalg_vector_norm(vectors, 2, {}, /*keepdim=*/false, at::kDouble).square_());
}

void Optimizer::drop() {
  c10::NoGradGuard no_grad;
  if (worker_) {
    worker_->wait();
    host_squared_norm_.zero_();
  }
  squared_norm_.zero_();
  for (Accepted& accepted : accepted_) accepted = {};
}

// The first pass.
void Optimizer::add_latents(const GroupState& state, const Piece& piece,
                            const at::Tensor& squared_norm) {
  squared_norm.add_(latent_gradients(
      piece.gradients, state.latents().narrow(0, piece.begin, piece.gradients.numel()),
      surrogate_ == Surrogate::kSmoothSign));
}

// On their way when this returns.
std::vector<Optimizer::Piece> Optimizer::copy_to_host(size_t group, const at::Tensor& latents) {
  if (is_kept()) {  // one group's at a time: the room of the others is not held
    for (size_t other = 0; other < copies_.size(); ++other) {
      if (other != group) copies_[other].clear();
    }
  }
  std::vector<Piece>& pieces = copies_[group];
  const bool pinned = device_traits(device()).pins_host_memory;
  for (int64_t begin = 0, i = 0; begin < latents.numel(); begin += kHostPiece, ++i) {
    // A buffer of an earlier step is used again.
    const int64_t count = std::min(kHostPiece, latents.numel() - begin);
    if (i == static_cast<int64_t>(pieces.size())) {
      pieces.push_back(
          {begin, at::empty({count}, states_[group].latents().options().pinned_memory(pinned))});
    }
    pieces[static_cast<size_t>(i)].gradients.copy_(latents.narrow(0, begin, count),
                                                   /*non_blocking=*/true);
  }
  return pieces;
}

StepStatistics Optimizer::step(int64_t step, const Rates& rates, const at::Tensor& must_be_finite) {
  c10::NoGradGuard no_grad;
  if (worker_) {
    worker_->wait();
    squared_norm_.add_(host_squared_norm_.to(device(), /*non_blocking=*/true));
  }
  // One sum for all that decides about the update.
  const bool with_more = must_be_finite.defined();
  const at::Tensor more = with_more ? must_be_finite.view({-1}) : at::Tensor();
  const at::Tensor sums =  // a copy: squared_norm_ begins anew before these are read
      with_more ? at::cat({squared_norm_.view({1}), more}) : squared_norm_.clone().view({1});
  communicator_.all_reduce_sum(sums);
  if (with_more) more.copy_(sums.narrow(0, 1, more.numel()));
  squared_norm_.zero_();
  // Vectors first: they are on the device, which has work while the host waits for `known`.
  const at::ScalarType dtype = squared_norm_.scalar_type();
  const at::Tensor clip = clip_of(sums, options_.max_grad_norm, dtype);
  for (size_t group = 0; group < states_.size(); ++group) update_vectors(group, clip, step, rates);
  // The one wait, where latents are on the host. Where the state is on the student's device this
  // copies nothing, and nothing waits.
  const at::Tensor known = sums.to(state_device_);
  if (worker_) host_squared_norm_.zero_();
  StepStatistics statistics{
      .squared_norm = known[0],
      .sums = known,
      .sign_flips = at::zeros({}, at::TensorOptions().dtype(at::kLong).device(state_device_))};
  const at::Tensor latent_clip =
      clip_of(known, options_.max_grad_norm, states_.at(0).latents().scalar_type());
  for (size_t group = 0; group < states_.size(); ++group) {
    Accepted& accepted = accepted_[group];
    if (!accepted.vectors.defined()) continue;
    const GroupState& state = states_[group];
    kill_point("update");
    update_latents(group, latent_clip, step, rates, statistics.sign_flips);
    kill_point("gather");
    // Processes need each other's bits, never their latents. Slices begin at multiples of 128: no
    // word is shared.
    communicator_.all_gather(state.group().bits(), state.slice().begin / 32,
                             state.slice().end / 32);
    statistics.num_latents += state.group().layout().num_unpadded_latents();
    if (accepted.gradients != nullptr) accepted.gradients->clear();
    accepted = {};
  }
  return statistics;
}

void Optimizer::update_vectors(size_t index, const at::Tensor& clip, int64_t step,
                               const Rates& rates) {
  const at::Tensor& gradients = accepted_[index].vectors;
  if (!gradients.defined()) return;
  const GroupState& state = states_[index];
  const StudentGroup& group = state.group();
  gradients.mul_(clip);
  // found_inf is how ATen leaves an update out without the host's knowing. clip is NaN where the
  // step is not taken. Gradients times it are NaN, too, but found_inf makes ATen leave parameters
  // and moments alone.
  const at::Tensor is_left_out = clip.isnan().to(at::kFloat);
  const at::Tensor number = at::full({}, static_cast<double>(step), is_left_out.options());
  const auto update = [&](int64_t first, int64_t count, double rate, double decay) {
    if (count == 0) return;
    const auto part = [&](const at::Tensor& flat) { return flat.narrow(0, first, count); };
    at::_fused_adamw_({part(group.vectors())}, {part(gradients)}, {part(state.vector_exp_avg())},
                      {part(state.vector_exp_avg_sq())}, {}, {number}, rate, options_.beta1,
                      options_.beta2, decay, options_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false, /*grad_scale=*/{}, /*found_inf=*/is_left_out);
  };
  // Scales have weight decay, biases and norms have none: as Hugging Face's trainer.
  const int64_t num_scales = group.layout().num_scales;
  update(0, num_scales, rates.scales, options_.weight_decay);
  update(num_scales, group.layout().num_vectors - num_scales, rates.norms, 0);
}

// The second pass.
void Optimizer::update_latents(size_t group, const at::Tensor& clip, int64_t step,
                               const Rates& rates, const at::Tensor& flips) {
  const GroupState& state = states_[group];
  LatentStep by{.rate = rates.latents,
                .beta1 = options_.beta1,
                .beta2 = options_.beta2,
                .epsilon = options_.epsilon,
                .weight_decay = options_.weight_decay,
                .step = step,
                .group = static_cast<int64_t>(group)};
  for (const Piece& piece : accepted_[group].latents) {
    const int64_t begin = piece.begin, count = piece.gradients.numel();
    by.first = state.slice().begin + begin;  // in the group: random rounding knows no slices
    littlebit::update_latents(piece.gradients, state.latents().narrow(0, begin, count),
                              state.moments().narrow(begin, count),
                              state.words().narrow(0, begin / 32, count / 32), flips, clip, by);
  }
  state.give_bits();  // to the student, where the state is on the host
}

void Optimizer::refresh_bits() {
  for (const GroupState& state : states_) {
    // Each process makes its slice's bits from its latents; what it lacks it gets from the others.
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
