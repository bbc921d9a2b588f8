// Dual-SVID (paper section 3.2, specs section 5): W -> sign factors with row, column and latent
// scales, and the residual path on what is left. Joint-ITQ (arXiv 2603.00042) as an option.
// Deterministic: every random number is a pure function of (seed, layer name, path).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "littlebit/quant/bit_budget.h"

namespace littlebit {

// One path: latents U [d_out, r], V [r, d_in]; scales u1 [d_out], u2 [r], v1 [r], v2 [d_in].
struct FactorPath {
  at::Tensor U, V, u1, u2, v1, v2;
};

struct LayerFactors {
  std::vector<FactorPath> paths;
  double relative_error = 0;  // ||W - sum of the paths' effective weights||_F / ||W||_F
  double seconds = 0;         // wall time of the factorisation, single-threaded
};

struct SvdOptions {
  int64_t oversampling = 16;
  int64_t power_iterations = 2;
};

// W ~= left right: left = U_r sqrt(S) [m, r], right = sqrt(S) V_r^T [r, n], by a seeded randomised
// SVD (Halko, Martinsson, Tropp 2011: GEMM, QR, eigenproblem of a [r + p]-square matrix). W fp32 or
// fp64 on any device.
struct LowRank {
  at::Tensor left, right;
};
LowRank randomized_svd(const at::Tensor& w, int64_t rank, const SvdOptions& options, uint64_t seed,
                       const std::string& purpose);

// The leading singular pair of a matrix without negative entries, sqrt(sigma) to each side,
// non-negative: a ~= row [m] outer column [n].
struct RankOne {
  at::Tensor row, column;
};
RankOne leading_pair(const at::Tensor& a);

// The weight a path stands for: diag(u1) sign(U) diag(u2 v1) sign(V) diag(v2), sign(0) = +1.
at::Tensor effective_weight(const FactorPath& path);

// Factorises one layer as planned. W [d_out, d_in] in fp32. InputError naming the layer where its
// Frobenius norm is 1e15 or more: squares would overflow.
LayerFactors factorize_layer(const at::Tensor& w, const LayerPlan& plan,
                             const QuantOptions& options, uint64_t seed);

}  // namespace littlebit
