// Where the trainables of one parameter group (embedding, a block, tail) lie in flat buffers, and
// which part of them a process owns. Pure data: what holds the numbers is StudentGroup
// (quant/student.h) and GroupState (optim/group_state.h).
//
//   latents  every layer's V, V_R, U, U_R in order, each matrix at a multiple of kSegmentAlignment
//            (the padding between them holds zeros); bit i % 32 of word i / 32 is the sign of
//            latent i
//   vectors  scales (u1 u2 v1 v2 per path), then biases, then norm parameters
// Names are the authors': "<layer>.U", "<layer>.u1_R", "<layer>.bias", "model.norm.weight".
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "littlebit/quant/bit_budget.h"

namespace littlebit {

// Matrices and the borders of slices stand at multiples of it.
inline constexpr int64_t kSegmentAlignment = 128;

// One tensor inside a flat buffer.
struct Segment {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;
  int64_t numel = 0;

  // The segment of the whole buffer `flat` in its shape, shared storage.
  at::Tensor view(const at::Tensor& flat) const;
};

// Indices into GroupLayout::latents (U, V) and GroupLayout::vectors (the rest).
struct PathSegments {
  size_t U = 0, V = 0, u1 = 0, u2 = 0, v1 = 0, v2 = 0;
};
struct LayerSegments {
  std::vector<PathSegments> paths;
  std::optional<size_t> bias;
};

enum class VectorKind { kScale, kBias, kNorm };

struct GroupLayout {
  std::vector<Segment> latents, vectors;
  std::vector<LayerSegments> layers;  // in the order of their plans
  std::vector<size_t> parameters;     // norm parameters among the vectors
  int64_t num_latents = 0;            // with padding; a multiple of kSegmentAlignment
  int64_t num_vectors = 0;
  // Scales come first, then biases, then norms: weight decay acts on the scales only.
  int64_t num_scales = 0, num_biases = 0;

  int64_t num_unpadded_latents() const;
  VectorKind kind(const Segment& vector) const;
  bool is_empty() const { return num_vectors == 0; }  // nothing to train
};

using NamedShape = std::pair<std::string, std::vector<int64_t>>;

// `has_bias`: of each layer. `parameters`: the group's norms.
GroupLayout lay_out_group(std::span<const LayerPlan> plans, const std::vector<bool>& has_bias,
                          std::span<const NamedShape> parameters);

// A range of a group's latents.
struct Slice {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

// The slice of process `rank` of `world`: of equal sizes, but for the last ones, which may be
// shorter or empty. Borders are multiples of kSegmentAlignment.
Slice slice_of(const GroupLayout& layout, int64_t rank, int64_t world);

// What of one latent matrix lies in a slice.
struct SegmentPart {
  const Segment* segment;
  int64_t begin = 0;  // its first element, counted in the segment
  int64_t count = 0;
  int64_t place = 0;  // where it begins, counted in the slice

  bool is_whole() const { return count == segment->numel; }
  // The part of the slice's buffer `flat`, shared storage.
  at::Tensor view(const at::Tensor& flat) const { return flat.narrow(0, place, count); }
};

// In the order of the layout; matrices without an element in the slice are left out.
std::vector<SegmentPart> parts_in(const GroupLayout& layout, const Slice& slice);

}  // namespace littlebit
