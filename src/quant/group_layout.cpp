// Offsets are given out here, once; nobody else adds two of them.
//
//     latents   |V    |gap|V_R  |gap|U     |gap|U_R   |gap|V of the next layer ...
//     slices    |process 0      |process 1      |process 2      |
//
// Matrices begin at multiples of 128, and so do slices: a word of bits or a block of codes for
// moments never lies in two of them.
#include "littlebit/quant/group_layout.h"

#include <algorithm>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

size_t append(std::vector<Segment>& segments, int64_t& end, std::string name,
              std::vector<int64_t> shape, int64_t alignment) {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  segments.push_back({std::move(name), std::move(shape), end, numel});
  // The next one begins at a multiple; the gap belongs to no segment.
  end = round_up(end + numel, alignment);
  return segments.size() - 1;
}

}  // namespace

at::Tensor Segment::view(const at::Tensor& flat) const {
  return flat.narrow(0, offset, numel).view(shape);
}

int64_t GroupLayout::num_unpadded_latents() const {
  int64_t count = 0;
  for (const Segment& segment : latents) count += segment.numel;
  return count;
}

VectorKind GroupLayout::kind(const Segment& vector) const {
  if (vector.offset < num_scales) return VectorKind::kScale;
  return vector.offset < num_scales + num_biases ? VectorKind::kBias : VectorKind::kNorm;
}

GroupLayout lay_out_group(std::span<const LayerPlan> plans, const std::vector<bool>& has_bias,
                          std::span<const NamedShape> parameters) {
  LB_ASSERT(plans.size() == has_bias.size(), "a plan for every layer");
  GroupLayout layout;
  const auto matrix = [&](std::string name, int64_t rows, int64_t cols) {
    return append(layout.latents, layout.num_latents, std::move(name), {rows, cols},
                  kSegmentAlignment);
  };
  const auto vector = [&](std::string name, std::vector<int64_t> shape) {
    return append(layout.vectors, layout.num_vectors, std::move(name), std::move(shape), 1);
  };
  for (const LayerPlan& plan : plans) {
    LayerSegments layer;
    layer.paths.resize(static_cast<size_t>(plan.paths));
    // As the authors name them: the second path's tensors end in _R, for residual.
    const auto name = [&](const char* part, size_t path) {
      return plan.name + part + (path == 0 ? "" : "_R");
    };
    for (size_t p = 0; p < layer.paths.size(); ++p) {
      layer.paths[p].V = matrix(name(".V", p), plan.rank, plan.d_in);
    }
    for (size_t p = 0; p < layer.paths.size(); ++p) {
      layer.paths[p].U = matrix(name(".U", p), plan.d_out, plan.rank);
    }
    for (size_t p = 0; p < layer.paths.size(); ++p) {
      PathSegments& path = layer.paths[p];
      path.u1 = vector(name(".u1", p), {plan.d_out});
      path.u2 = vector(name(".u2", p), {plan.rank});
      path.v1 = vector(name(".v1", p), {plan.rank});
      path.v2 = vector(name(".v2", p), {plan.d_in});
    }
    layout.layers.push_back(std::move(layer));
  }
  // Scales of all layers come before all biases, so that weight decay acts on one range.
  layout.num_scales = layout.num_vectors;
  for (size_t i = 0; i < plans.size(); ++i) {
    if (has_bias[i]) layout.layers[i].bias = vector(plans[i].name + ".bias", {plans[i].d_out});
  }
  layout.num_biases = layout.num_vectors - layout.num_scales;
  for (const auto& [name, shape] : parameters) layout.parameters.push_back(vector(name, shape));
  return layout;
}

Slice slice_of(const GroupLayout& layout, int64_t rank, int64_t world) {
  LB_ASSERT(0 <= rank && rank < world, "a rank of the world");
  // Equal slices up to rounding: the last processes get less, or nothing where a group is small.
  const int64_t each = round_up((layout.num_latents + world - 1) / world, kSegmentAlignment);
  return {std::min(rank * each, layout.num_latents),
          std::min((rank + 1) * each, layout.num_latents)};
}

std::vector<SegmentPart> parts_in(const GroupLayout& layout, const Slice& slice) {
  std::vector<SegmentPart> parts;
  for (const Segment& segment : layout.latents) {
    // The intersection of matrix and slice; a slice may begin and end inside a matrix.
    const int64_t begin = std::max(segment.offset, slice.begin),
                  end = std::min(segment.offset + segment.numel, slice.end);
    if (begin >= end) continue;
    parts.push_back({.segment = &segment,
                     .begin = begin - segment.offset,
                     .count = end - begin,
                     .place = begin - slice.begin});
  }
  return parts;
}

}  // namespace littlebit
