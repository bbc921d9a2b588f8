#include "littlebit/quant/factorization.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"

namespace littlebit {
namespace {

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

at::Tensor orthonormal(const at::Tensor& y) { return std::get<0>(at::linalg_qr(y, "reduced")); }

// [rows, cols] of independent normals, the same on every device.
at::Tensor gaussian(int64_t rows, int64_t cols, const at::Tensor& like, uint64_t seed,
                    const std::string& purpose) {
  at::Tensor out = at::empty({rows, cols}, at::TensorOptions().dtype(at::kFloat));
  RandomStream(seed, purpose)
      .fill_normal(0, {out.data_ptr<float>(), static_cast<size_t>(out.numel())});
  return out.to(like.options());
}

// +1 where t >= 0 (so sign(0) = +1), else -1.
at::Tensor sign_of(const at::Tensor& t) { return t.ge(0).to(t.scalar_type()).mul_(2).sub_(1); }

// Joint-ITQ: one rotation of the latent space that brings left and right^T closer to their signs
// (specs section 5).
void rotate_towards_signs(LowRank& factors, int64_t iterations, uint64_t seed,
                          const std::string& purpose) {
  const at::Tensor x = at::cat({factors.left, factors.right.t()});  // [m + n, r]
  at::Tensor rotation = orthonormal(gaussian(x.size(1), x.size(1), x, seed, purpose));
  for (int64_t i = 0; i < iterations; ++i) {
    const at::Tensor b = sign_of(at::matmul(x, rotation));
    const auto [p, s, q_t] = at::linalg_svd(at::matmul(b.t(), x), false);
    rotation = at::matmul(q_t.t(), p.t());
  }
  factors.left = at::matmul(factors.left, rotation);
  factors.right = at::matmul(rotation.t(), factors.right);
}

}  // namespace

LowRank randomized_svd(const at::Tensor& w, int64_t rank, const SvdOptions& options, uint64_t seed,
                       const std::string& purpose) {
  c10::NoGradGuard no_grad;
  const int64_t smaller = std::min(w.size(0), w.size(1));
  LB_ASSERT(rank >= 1 && rank <= smaller, "rank of the SVD");
  const int64_t k = std::min(rank + options.oversampling, smaller);

  at::Tensor q =
      orthonormal(at::matmul(w, gaussian(w.size(1), k, w, seed, purpose)));  // range of W
  for (int64_t i = 0; i < options.power_iterations; ++i) {
    q = orthonormal(at::matmul(w, orthonormal(at::matmul(w.t(), q))));
  }
  const at::Tensor b = at::matmul(q.t(), w);  // [k, n], W ~= q b

  // b = E S F^T by the eigenproblem b b^T = E S^2 E^T, in fp64 because it squares the singular
  // values.
  const at::Tensor wide = b.to(at::kDouble);
  const auto [eigenvalues, eigenvectors] =
      at::linalg_eigh(at::matmul(wide, wide.t()));  // ascending
  const at::Tensor e = eigenvectors.narrow(1, k - rank, rank).flip({1});
  const at::Tensor s = eigenvalues.narrow(0, k - rank, rank).flip({0}).clamp_min(0).sqrt();
  const at::Tensor root = s.sqrt();
  // Directions below fp32's resolution carry nothing: their factors are zero.
  const at::Tensor usable = s > s[0] * 1e-7;
  const at::Tensor inverse_root =
      at::where(usable, root.clamp_min(1e-300).reciprocal(), at::zeros_like(root));
  return {.left = at::matmul(q, (e * root).to(w.scalar_type())),
          .right = at::matmul((e * inverse_root).t().to(w.scalar_type()), b)};
}

RankOne leading_pair(const at::Tensor& a) {
  c10::NoGradGuard no_grad;
  // Power iteration; without negative entries the start of ones is never orthogonal to the leading
  // vector (Perron-Frobenius), and for magnitudes of factors the second singular value is a
  // fraction of the first.
  at::Tensor right = at::ones({a.size(1)}, a.options());
  right.div_(frobenius(right));
  at::Tensor left;
  double sigma = 0;
  const at::Tensor transposed = a.t();
  for (int iteration = 0; iteration < 300; ++iteration) {
    left = at::mv(a, right);
    const double left_norm = frobenius(left);
    if (left_norm == 0) return {at::zeros_like(left), at::zeros_like(right)};
    left.div_(left_norm);
    at::Tensor next = at::mv(transposed, left);
    sigma = frobenius(next);
    next.div_(sigma);
    const double change = frobenius(next - right);
    right = next;
    if (change < 1e-6) break;
  }
  const double root = std::sqrt(sigma);
  return {left.clamp_min_(0).mul_(root), right.clamp_min_(0).mul_(root)};
}

at::Tensor effective_weight(const FactorPath& path) {
  const at::Tensor u = sign_of(path.U).mul_(path.u1.unsqueeze(1)).mul_(path.u2 * path.v1);
  return at::matmul(u, sign_of(path.V).mul_(path.v2));
}

LayerFactors factorize_layer(const at::Tensor& w, const LayerPlan& plan,
                             const QuantOptions& options, uint64_t seed) {
  c10::NoGradGuard no_grad;
  const auto start = std::chrono::steady_clock::now();
  const SvdOptions svd{.oversampling = options.svd_oversampling,
                       .power_iterations = options.svd_power_iterations};
  LayerFactors factors;
  at::Tensor rest = w;
  for (int p = 0; p < plan.paths; ++p) {
    const std::string purpose = plan.name + "/path " + std::to_string(p);
    LowRank low_rank = randomized_svd(rest, plan.rank, svd, seed, "svd/" + purpose);
    if (options.init == QuantInit::kJointItq) {
      rotate_towards_signs(low_rank, options.itq_iterations, seed, "itq/" + purpose);
    }
    const RankOne u = leading_pair(low_rank.left.abs());
    const RankOne v = leading_pair(low_rank.right.abs());
    factors.paths.push_back({.U = low_rank.left.contiguous(),
                             .V = low_rank.right.contiguous(),
                             .u1 = u.row,
                             .u2 = u.column,
                             .v1 = v.row,
                             .v2 = v.column});
    rest = rest - effective_weight(factors.paths.back());
  }
  const double whole = frobenius(w);
  factors.relative_error = whole > 0 ? frobenius(rest) / whole : 0;
  factors.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return factors;
}

}  // namespace littlebit
