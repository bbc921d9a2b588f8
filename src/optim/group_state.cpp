// A slice's buffers, and which part of which tensor they hold.
#include "littlebit/optim/group_state.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>

#include "littlebit/core/error.h"
#include "littlebit/device/device.h"
#include "littlebit/nn/scratch_tensor.h"
#include "littlebit/ops/update_signs.h"

namespace littlebit {

bool StatePart::is_whole() const {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  return values.numel() == numel;
}

namespace {

int64_t blocks_of(int64_t count) { return (count + kMomentBlock - 1) / kMomentBlock; }

}  // namespace

GroupState::GroupState(StudentGroup& group, Slice slice, MomentType moments,
                       std::optional<at::Device> device, const StateKeeper& keeper)
    : group_(&group), slice_(slice), device_(device.value_or(group.vectors().device())) {
  // Blocks of codes end where slices and matrices do.
  static_assert(kSegmentAlignment % kMomentBlock == 0);
  const at::TensorOptions of_vectors = group.vectors().options();
  const at::ScalarType type = group.vectors().scalar_type();
  const bool has_codes = moments == MomentType::kInt8;
  const at::ScalarType of_moments = has_codes                      ? at::kByte
                                    : moments == MomentType::kBf16 ? at::kBFloat16
                                                                   : type;
  const auto zeros = [&](int64_t count, at::ScalarType dtype) {
    // Kept elsewhere, the group takes no memory of the device until load().
    if (keeper && count > 0) return keeper(count, dtype);
    return at::zeros({count}, of_vectors.device(device_).dtype(dtype));
  };
  const int64_t scales = has_codes ? blocks_of(slice.size()) : 0;
  latents_ = zeros(slice.size(), type);
  moments_ = {zeros(slice.size(), of_moments), zeros(slice.size(), of_moments),
              zeros(scales, at::kFloat), zeros(scales, at::kFloat)};
  vector_exp_avg_ = at::zeros({group.layout().num_vectors}, of_vectors);
  vector_exp_avg_sq_ = at::zeros({group.layout().num_vectors}, of_vectors);
  if (!keeper) return;
  for (const at::Tensor* tensor : large()) kept_.push_back(*tensor);
}

// Loaded, the members are buffers of their own; else they are what is kept.
bool GroupState::is_loaded() const { return kept_.empty() || !latents_.is_same(kept_[0]); }

void GroupState::load() {
  if (is_loaded()) return;
  c10::NoGradGuard no_grad;
  for (at::Tensor* tensor : large()) {
    // A buffer on the device is filled from what is kept, whose pages are then given back: the
    // state is in memory once.
    const at::Tensor kept = *tensor;
    *tensor = at::empty(kept.sizes(), kept.options().device(device_).pinned_memory(false));
    tensor->copy_(kept);
    drop_scratch_pages(kept);
  }
}

// What was trained goes back to where it is kept; the device's buffers are freed with the last
// reference.
void GroupState::unload() {
  if (kept_.empty() || !is_loaded()) return;
  c10::NoGradGuard no_grad;
  for (size_t i = 0; i < kept_.size(); ++i) {
    at::Tensor& tensor = *large()[i];
    kept_[i].copy_(tensor);
    drop_scratch_pages(kept_[i]);
    tensor = kept_[i];
  }
}

void GroupState::load_for_good() {
  load();
  kept_.clear();
}

void GroupState::visit(const std::function<void(const StatePart&)>& visit) const {
  const GroupLayout& layout = group_->layout();
  // Latents and their moments by the parts of matrices in this slice; vectors whole, since every
  // process has them.
  const std::vector<SegmentPart> parts = parts_in(layout, slice_);
  // One order for values and both moments: whoever writes a file and whoever reads it go through
  // the parts alike.
  const auto visit_all = [&](const std::string& prefix, const at::Tensor& latents,
                             const at::Tensor& vectors) {
    const bool moments = !prefix.empty();
    for (const SegmentPart& part : parts) {
      visit({.kind = moments ? StateKind::kMoments : StateKind::kLatents,
             .name = prefix + part.segment->name,
             .shape = part.segment->shape,
             .begin = part.begin,
             .values = part.view(latents)});
    }
    for (const Segment& segment : layout.vectors) {
      const StateKind kind = layout.kind(segment) == VectorKind::kScale
                                 ? StateKind::kScales
                                 : StateKind::kBiasesAndNorms;
      visit({.kind = moments ? StateKind::kMoments : kind,
             .name = prefix + segment.name,
             .shape = segment.shape,
             .values = segment.view(vectors).view({-1}),
             .is_everywhere = true});
    }
  };
  visit_all("", latents_, group_->vectors());
  visit_all("exp_avg/", moments_.exp_avg, vector_exp_avg_);
  visit_all("exp_avg_sq/", moments_.exp_avg_sq, vector_exp_avg_sq_);
  if (moments_.average_scales.numel() == 0) return;
  const auto visit_scales = [&](const std::string& prefix, const at::Tensor& scales) {
    for (const SegmentPart& part : parts) {
      visit({.kind = StateKind::kMoments,
             .name = prefix + part.segment->name,
             .shape = {blocks_of(part.segment->numel)},
             .begin = part.begin / kMomentBlock,
             .values = scales.narrow(0, part.place / kMomentBlock, blocks_of(part.count))});
    }
  };
  visit_scales("exp_avg_scale/", moments_.average_scales);
  visit_scales("exp_avg_sq_scale/", moments_.root_scales);
}

int64_t GroupState::whole_bytes() const {
  const GroupLayout& layout = group_->layout();
  const auto bytes = [](const at::Tensor& tensor) {
    return static_cast<int64_t>(tensor.element_size());
  };
  // The latent itself and two moments; vectors likewise, in their own type.
  int64_t sum = layout.num_unpadded_latents() * (bytes(latents_) + 2 * bytes(moments_.exp_avg)) +
                3 * layout.num_vectors * bytes(vector_exp_avg_);
  if (moments_.exp_avg.scalar_type() != at::kByte) return sum;
  for (const Segment& segment : layout.latents) {
    sum += 2 * blocks_of(segment.numel) * bytes(moments_.average_scales);
  }
  return sum;
}

at::Tensor with_rms(const at::Tensor& latents, double rms) {
  c10::NoGradGuard no_grad;
  // The root mean square, in fp64: a square of a small fp32 number may round to zero.
  const at::Tensor now =
      at::linalg_vector_norm(latents, 2, c10::nullopt, /*keepdim=*/false, at::kDouble)
          .div_(std::sqrt(static_cast<double>(latents.numel())));
  const at::Tensor scaled = latents * (rms / now).masked_fill_(now.eq(0), 1);
  // What rounds to zero counts as positive: it keeps its sign as the smallest number there is.
  return scaled.masked_fill_(scaled.eq(0).logical_and_(latents.lt(0)),
                             -std::numeric_limits<float>::min());
}

void GroupState::set_latents(size_t layer, const LayerFactors& factors, double rms) {
  c10::NoGradGuard no_grad;
  const GroupLayout& layout = group_->layout();
  const std::vector<PathSegments>& paths = layout.layers[layer].paths;
  LB_ASSERT(factors.paths.size() == paths.size(), "number of paths");
  for (const SegmentPart& part : parts_in(layout, slice_)) {
    for (size_t p = 0; p < paths.size(); ++p) {
      for (const auto& [segment, value] : {std::pair{paths[p].U, &factors.paths[p].U},
                                           std::pair{paths[p].V, &factors.paths[p].V}}) {
        if (part.segment != &layout.latents[segment]) continue;
        // The scale is that of the whole matrix, whichever part of it is here.
        const at::Tensor whole = rms > 0 ? with_rms(*value, rms) : *value;
        part.view(latents_).copy_(whole.reshape({-1}).narrow(0, part.begin, part.count));
        // Where latents are kept in a mapped file, the pages just written need not stay in memory.
        drop_scratch_pages(part.view(latents_));
      }
    }
  }
}

void GroupState::forget_moments() {
  c10::NoGradGuard no_grad;
  for (at::Tensor* tensor : large()) {
    if (tensor != &latents_) tensor->zero_();
  }
  vector_exp_avg_.zero_();
  vector_exp_avg_sq_.zero_();
}

void GroupState::update_bits() const {
  if (slice_.size() == 0) return;
  // Latents that are kept elsewhere are only read, through a copy where the device is another.
  update_signs(latents_.to(device_), words());
  give_bits();
  drop_scratch_pages(latents_);
}

const at::Tensor& GroupState::words() const {
  if (words_.defined()) return words_;
  // The student's own words, where the latents are on its device.
  if (!is_apart()) {
    words_ = group_->bits().narrow(0, slice_.begin / 32, slice_.size() / 32);
    return words_;
  }
  const bool pinned = device_traits(group_->bits().device()).pins_host_memory;
  // A second set of words beside the latents: the update finds the old signs there, and only the
  // words travel to the student.
  words_ = at::empty({slice_.size() / 32},
                     at::TensorOptions().dtype(at::kInt).device(device_).pinned_memory(pinned));
  if (slice_.size() > 0) update_signs(latents_.to(device_), words_);
  return words_;
}

void GroupState::give_bits() const {
  if (!is_apart()) return;
  group_->bits()
      .narrow(0, slice_.begin / 32, slice_.size() / 32)
      .copy_(words(), /*non_blocking=*/true);
}

void LatentSink::put(size_t group, size_t layer, const LayerFactors& factors,
                     const at::Tensor& bias) {
  StudentSink::put(group, layer, factors, bias);
  states_[group].set_latents(layer, factors, latent_rms_);
}

}  // namespace littlebit
