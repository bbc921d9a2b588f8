// Sums of gradients by the expanded weights, and the chain rule from there to signs and scales.
#include "littlebit/optim/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

// sum += value, in the sum's dtype; the first one is the sum.
void add_to(const at::Tensor& sum, const at::Tensor& value, bool is_first) {
  if (is_first) {
    value.defined() ? sum.copy_(value) : sum.zero_();
  } else if (value.defined()) {
    sum.add_(value);
  }
}

// What lies between the matrices.
void clear_gaps(const at::Tensor& latents, const GroupLayout& layout) {
  int64_t end = 0;
  const auto clear_to = [&](int64_t begin) {
    if (begin > end) latents.narrow(0, end, begin - end).zero_();
  };
  for (const Segment& matrix : layout.latents) {
    clear_to(matrix.offset);
    end = matrix.offset + matrix.numel;
  }
  clear_to(layout.num_latents);
}

}  // namespace

// Until finish() the u2 segments hold dLoss/dL and the u1, v1, v2 segments zero.
void GroupGradients::add(const std::vector<at::Tensor>& leaf_gradients) {
  LB_ASSERT(state_ != State::kFinished, "gradients are added before they are finished");
  c10::NoGradGuard no_grad;
  const GroupLayout& layout = group_->layout();
  if (layout.is_empty()) return;
  // Not cleared: the first gradients are copied, only gaps need zeros.
  if (!latents_.defined()) {
    latents_ = at::empty({layout.num_latents}, group_->vectors().options());
    vectors_ = at::empty({layout.num_vectors}, group_->vectors().options());
  }
  const bool is_first = state_ == State::kEmpty;
  if (is_first) {
    clear_gaps(latents_, layout);
    vectors_.zero_();
  }
  state_ = State::kSums;
  const auto latent = [&](size_t segment) { return layout.latents[segment].view(latents_); };
  const auto vector = [&](size_t segment) { return layout.vectors[segment].view(vectors_); };
  size_t next = 0;
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    const LayerSegments& layer = layout.layers[i];
    const at::Tensor &g1 = leaf_gradients[next], &g2 = leaf_gradients[next + 1],
                     &gl = leaf_gradients[next + 2];
    next += 3;
    // Leaves have both paths side by side; a path's part is rows of G1 and columns of G2.
    const int64_t rank = group_->layers()[i]->rank();
    for (size_t p = 0; p < layer.paths.size(); ++p) {
      const int64_t first = static_cast<int64_t>(p) * rank;
      const auto part = [&](const at::Tensor& g, int64_t dimension) {
        return g.defined() ? g.narrow(dimension, first, rank) : g;
      };
      add_to(latent(layer.paths[p].V), part(g1, 0), is_first);
      add_to(latent(layer.paths[p].U), part(g2, 1), is_first);
      add_to(vector(layer.paths[p].u2), part(gl, 0), is_first);
    }
    if (layer.bias) add_to(vector(*layer.bias), leaf_gradients[next++], is_first);
  }
  for (const size_t segment : layout.parameters) {
    add_to(vector(segment), leaf_gradients[next++], is_first);
  }
  LB_ASSERT(next == leaf_gradients.size(), "one gradient per leaf");
}

void GroupGradients::finish() {
  LB_ASSERT(state_ == State::kSums, "gradients are finished once");
  state_ = State::kFinished;
  c10::NoGradGuard no_grad;
  const GroupLayout& layout = group_->layout();
  const auto vector = [&](size_t segment) { return layout.vectors[segment].view(vectors_); };
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    for (size_t p = 0; p < layout.layers[i].paths.size(); ++p) {
      const SignPath& path = group_->layers()[i]->paths()[p];
      const PathSegments& where = layout.layers[i].paths[p];
      // Of W1 = sign(V) diag(g) and W2 = diag(h) sign(U), element by element:
      //
      //     dsign(V)_ij = G1_ij g_j    dg_j = sum over i of sign(V)_ij G1_ij
      //     dsign(U)_ij = h_i G2_ij    dh_i = sum over j of sign(U)_ij G2_ij
      //
      // Scales' gradients first, which need G1 and G2 as they came; then these are scaled in place.
      const at::Tensor g1 = layout.latents[where.V].view(latents_);  // [r, d_in]
      const at::Tensor g2 = layout.latents[where.U].view(latents_);  // [d_out, r]
      at::Tensor signs = at::empty_like(g1);
      path.V.expand_into(signs, {}, {});
      vector(where.v2).copy_(signs.mul_(g1).sum(0));
      signs = at::empty_like(g2);
      path.U.expand_into(signs, {}, {});
      vector(where.u1).copy_(signs.mul_(g2).sum(1));
      g1.mul_(path.v2);
      g2.mul_(path.u1.unsqueeze(1));
      // l = v1 * u2: dv1 = dl u2, du2 = dl v1. dl stands where du2 will, so that comes last.
      const at::Tensor dl = vector(where.u2);
      vector(where.v1).copy_(dl * path.u2);
      dl.mul_(path.v1);
    }
  }
}

const at::Tensor& GroupGradients::latents() const {
  LB_ASSERT(state_ == State::kFinished, "gradients are read when they are finished");
  return latents_;
}

const at::Tensor& GroupGradients::vectors() const {
  LB_ASSERT(state_ == State::kFinished, "gradients are read when they are finished");
  return vectors_;
}

std::vector<GroupGradients> gradients_of(const Student& student) {
  std::vector<GroupGradients> gradients;
  for (const StudentGroup& group : student.groups()) gradients.emplace_back(group);
  return gradients;
}

}  // namespace littlebit
