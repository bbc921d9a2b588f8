// The layer's forward pass through its two expanded factors, and the dense matrix that it stands
// for. Weights exist from materialize() to release(), else only for one call.
#include "littlebit/quant/littlebit_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "littlebit/ops/affine.h"
#include "littlebit/ops/product.h"
#include "littlebit/ops/scaled_product.h"
#include "sign_factors.h"

namespace littlebit {

LittleBitLinear::LittleBitLinear(std::string name, std::vector<SignPath> paths, at::Tensor bias,
                                 at::ScalarType compute_dtype)
    : name_(std::move(name)),
      paths_(std::move(paths)),
      bias_(std::move(bias)),
      compute_dtype_(compute_dtype) {}

// The two scales of the latent dimensions enter as their product, l = v1 * u2: its gradient is
// divided between them afterwards (optim/gradients.cpp).
at::Tensor LittleBitLinear::inner_scale(const at::TensorOptions& options) const {
  const int64_t r = rank(), num_paths = static_cast<int64_t>(paths_.size());
  at::Tensor l = at::empty({num_paths * r}, options);
  for (int64_t p = 0; p < num_paths; ++p) {
    l.narrow(0, p * r, r).copy_(paths_[p].v1 * paths_[p].u2);
  }
  return l;
}

LittleBitLinear::Weights LittleBitLinear::expand() const {
  c10::NoGradGuard no_grad;
  SignExpansionList expansions(compute_dtype_);
  Weights weights = expand(expansions);
  expansions.run();
  return weights;
}

LittleBitLinear::Weights LittleBitLinear::expand(SignExpansionList& expansions) const {
  c10::NoGradGuard no_grad;
  const int64_t r = rank(), num_paths = static_cast<int64_t>(paths_.size());
  const auto options = paths_[0].u1.options().dtype(compute_dtype_);
  Weights weights{.w1 = at::empty({num_paths * r, in_features()}, options),
                  .w2 = at::empty({out_features(), num_paths * r}, options),
                  .l = inner_scale(options),
                  .bias = bias_};
  for (int64_t p = 0; p < num_paths; ++p) {
    const SignPath& path = paths_[p];
    // Path p has rows p r .. of W1 and columns p r .. of W2: one product then serves both paths,
    // and W2's sum over its columns adds them up.
    expansions.add(path.V, weights.w1.narrow(0, p * r, r), ScaledSide::kColumns, path.v2);
    expansions.add(path.U, weights.w2.narrow(1, p * r, r), ScaledSide::kRows, path.u1);
  }
  return weights;
}

// W1 and W2 of no memory: leaves to differentiate by. One zero, repeated over the whole shape:
// autograd needs a tensor of that shape to differentiate by, and no number of it is read.
LittleBitLinear::Weights LittleBitLinear::leaves() const {
  const c10::AutoGradMode without(false);
  const int64_t width = rank() * static_cast<int64_t>(paths_.size());
  const auto options = paths_[0].u1.options();
  const at::Tensor none = at::zeros({1, 1}, options);
  Weights weights{.w1 = none.expand({width, in_features()}),
                  .w2 = none.expand({out_features(), width}),
                  .l = inner_scale(options),
                  .bias = bias_};
  return weights;
}

bool LittleBitLinear::multiplies_signs() const {
  return compute_dtype_ == at::kFloat && paths_[0].u1.scalar_type() == at::kFloat &&
         has_fast_mixed_products(paths_[0].u1.device());
}

void LittleBitLinear::materialize(bool differentiable, SignExpansionList& expansions) {
  // Signs are exact in bf16, and tiles multiply bf16 faster than fp32: such a layer keeps signs and
  // applies scales to activations. Any other keeps W1 and W2 with the scales in them.
  if (multiplies_signs()) factors_ = std::make_shared<SignFactors>(expand_factors(paths_));
  weights_ = factors_ ? leaves() : expand(expansions);
  if (differentiable) {
    weights_.w1.set_requires_grad(true);
    weights_.w2.set_requires_grad(true);
    weights_.l.set_requires_grad(true);
  }
}

at::Tensor LittleBitLinear::forward(const at::Tensor& x) const {
  const bool is_ready = weights_.w1.defined();
  if (multiplies_signs()) {
    const at::Tensor y = is_ready ? sign_product(x, *factors_, weights_)
                                  : sign_product(x, expand_factors(paths_), leaves());
    return bias_.defined() ? y + bias_ : y;
  }
  const Weights weights = is_ready ? weights_ : expand();
  at::Tensor t = affine(x, weights.w1);
  // Autograd needs x W1^T for L's gradient; without it, nobody else holds t.
  t = c10::GradMode::is_enabled() ? t * weights.l : t.mul_(weights.l);
  const at::Tensor bias = weights.bias.defined() ? weights.bias.to(compute_dtype_) : weights.bias;
  return affine(t, weights.w2, bias);
}

at::Tensor LittleBitLinear::effective_weight() const {
  c10::NoGradGuard no_grad;
  at::Tensor sum;
  for (const SignPath& path : paths_) {
    const auto options = path.u1.options();
    at::Tensor v = at::empty({path.V.rows(), path.V.cols()}, options);
    at::Tensor u = at::empty({path.U.rows(), path.U.cols()}, options);
    path.V.expand_into(v, {}, path.v2);
    path.U.expand_into(u, path.u1, {});
    // diag(h) U diag(l) times V diag(g): the inner scale goes into the thin factor, before the
    // product.
    const at::Tensor weight = matmul_nt(u.mul_(path.v1 * path.u2), v.t());
    sum = sum.defined() ? sum.add_(weight) : weight;
  }
  return sum;
}

}  // namespace littlebit
