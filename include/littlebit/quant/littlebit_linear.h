// The LittleBit layer (paper eq. 5, specs section 1) without latents: sign bits and scales.
//
// With h = u1, l = v1 * u2, g = v2 and both paths concatenated along the rank, R = paths * r:
//   W1 = [V1 diag(g1); V2 diag(g2)] [R, d_in],  L = [l1, l2] [R],  W2 = [diag(h1) U1, diag(h2) U2]
//   [d_out, R], y = ((x W1^T) * L) W2^T + bias.
// W1, W2 are exact in the dtype of the scales they are expanded with. They exist only while
// materialised (or during one forward call). Scales and bias are views into the group's flat vector
// buffer, so an update there is seen at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "littlebit/nn/linear.h"
#include "littlebit/quant/sign_matrix.h"

namespace littlebit {

// One path's signs and scales.
struct SignPath {
  SignMatrix U, V;            // [d_out, r], [r, d_in]
  at::Tensor u1, u2, v1, v2;  // [d_out], [r], [r], [d_in]; fp32 (fp64 in tests)
};

struct SignFactors;

class LittleBitLinear : public Linear {
 public:
  LittleBitLinear(std::string name, std::vector<SignPath> paths, at::Tensor bias,
                  at::ScalarType compute_dtype);

  at::Tensor forward(const at::Tensor& x) const override;

  // What autograd differentiates: W1, W2, L and, where there is one, the bias. Where products with
  // signs as they are are the faster ones (ops/scaled_product.h), the W1 and W2 that materialize()
  // keeps have no memory: they stand for the matrices in autograd's graph, and nobody reads them.
  struct Weights {
    at::Tensor w1, w2, l, bias;
  };
  Weights expand() const;  // fresh tensors
  // Makes weights for forward, leaves that require gradients if asked; what `expansions` is given
  // to make is there when those have run.
  void materialize(bool differentiable, SignExpansionList& expansions);
  const Weights& weights() const { return weights_; }  // while materialised
  void release() {
    weights_ = {};
    factors_ = nullptr;
  }

  // Sum of the paths' effective weights [d_out, d_in] in the dtype of the scales: reports, tests,
  // dense export.
  at::Tensor effective_weight() const;

  const std::string& name() const { return name_; }
  const std::vector<SignPath>& paths() const { return paths_; }
  std::vector<SignPath>& paths() { return paths_; }
  const at::Tensor& bias() const { return bias_; }
  at::ScalarType compute_dtype() const { return compute_dtype_; }
  int64_t rank() const { return paths_[0].U.cols(); }
  int64_t in_features() const { return paths_[0].V.cols(); }
  int64_t out_features() const { return paths_[0].U.rows(); }

 private:
  bool multiplies_signs() const;
  Weights leaves() const;
  at::Tensor inner_scale(const at::TensorOptions& options) const;  // L
  Weights expand(SignExpansionList& expansions) const;

  std::string name_;
  std::vector<SignPath> paths_;
  at::Tensor bias_;
  at::ScalarType compute_dtype_;
  Weights weights_;
  std::shared_ptr<const SignFactors> factors_;
};

}  // namespace littlebit
