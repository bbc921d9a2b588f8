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
#include "littlebit/nn/scratch_tensor.h"
#include "littlebit/ops/update_signs.h"

namespace littlebit {

bool StatePart::is_whole() const {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  return values.numel() == numel;
}

GroupState::GroupState(StudentGroup& group, Slice slice, const StateKeeper& keeper)
    : group_(&group), slice_(slice) {
  const auto zeros = [&](int64_t n) { return at::zeros({n}, group.vectors().options()); };
  for (at::Tensor* tensor : large()) {
    *tensor = keeper ? keeper(slice.size(), group.vectors().scalar_type()) : zeros(slice.size());
    if (keeper) kept_.push_back(*tensor);
  }
  vector_exp_avg_ = zeros(group.layout().num_vectors);
  vector_exp_avg_sq_ = zeros(group.layout().num_vectors);
}

bool GroupState::is_loaded() const { return kept_.empty() || !latents_.is_same(kept_[0]); }

void GroupState::load() {
  if (is_loaded()) return;
  c10::NoGradGuard no_grad;
  for (at::Tensor* tensor : large()) {
    const at::Tensor kept = *tensor;
    *tensor = at::empty(kept.sizes(), group_->vectors().options());
    tensor->copy_(kept);
    drop_scratch_pages(kept);
  }
}

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
  const std::vector<SegmentPart> parts = parts_in(layout, slice_);
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
  visit_all("exp_avg/", exp_avg_, vector_exp_avg_);
  visit_all("exp_avg_sq/", exp_avg_sq_, vector_exp_avg_sq_);
}

at::Tensor with_rms(const at::Tensor& latents, double rms) {
  c10::NoGradGuard no_grad;
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
        const at::Tensor whole = rms > 0 ? with_rms(*value, rms) : *value;
        part.view(latents_).copy_(whole.reshape({-1}).narrow(0, part.begin, part.count));
        drop_scratch_pages(part.view(latents_));
      }
    }
  }
}

void GroupState::forget_moments() const {
  c10::NoGradGuard no_grad;
  for (const at::Tensor& moments : {exp_avg_, exp_avg_sq_, vector_exp_avg_, vector_exp_avg_sq_}) {
    moments.zero_();
  }
}

void GroupState::update_bits(const at::Tensor& flips) const {
  if (slice_.size() == 0) return;
  update_signs(latents_.to(group_->bits().device()),
               group_->bits().narrow(0, slice_.begin / 32, slice_.size() / 32), flips);
  drop_scratch_pages(latents_);
}

void LatentSink::put(size_t group, size_t layer, const LayerFactors& factors,
                     const at::Tensor& bias) {
  StudentSink::put(group, layer, factors, bias);
  states_[group].set_latents(layer, factors, latent_rms_);
}

}  // namespace littlebit
