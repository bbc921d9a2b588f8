// Dual-SVID and Joint-ITQ of one weight matrix. The result depends on weight, plan, options, seed
// and layer name only, not on threads or on other layers.
#include "littlebit/quant/factorization.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/nn/products.h"
#include "random_matrices.h"

namespace littlebit {
namespace {

// Squares of what is smaller, and their sums with some factors, are finite in fp32. No model that
// computes anything comes near.
constexpr double kLargestNorm = 1e15;

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

at::Tensor orthonormal(const at::Tensor& y) { return std::get<0>(at::linalg_qr(y, "reduced")); }

// +1 where t >= 0 (so sign(0) = +1), else -1.
at::Tensor sign_of(const at::Tensor& t) { return t.ge(0).to(t.scalar_type()).mul_(2).sub_(1); }

// Joint-ITQ: one rotation of the latent space that brings left and right^T closer to their signs
// (specs section 5).
void rotate_towards_signs(LowRank& factors, int64_t iterations, uint64_t seed,
                          const std::string& purpose) {
  const at::Tensor x = at::cat({factors.left, factors.right.t()});  // [m + n, r]
  const at::Tensor x_t = x.t().contiguous();
  at::Tensor rotation = orthonormal(gaussian(x.size(1), x.size(1), x, seed, purpose));
  for (int64_t i = 0; i < iterations; ++i) {
    const at::Tensor b = sign_of(product_nt(x, rotation.t()));
    const auto [p, s, q_t] = at::linalg_svd(product_nt(b.t(), x_t), false);
    rotation = product_nt(q_t.t(), p);
  }
  factors.left = product_nt(factors.left, rotation.t());
  factors.right = product_nt(rotation.t(), factors.right.t());
}

}  // namespace

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
  return product_nt(u, sign_of(path.V).mul_(path.v2).t());
}

LayerFactors factorize_layer(const at::Tensor& w, const LayerPlan& plan,
                             const QuantOptions& options, uint64_t seed) {
  c10::NoGradGuard no_grad;
  const Stopwatch stopwatch;
  const double whole = frobenius(w);
  if (!(whole < kLargestNorm)) {
    throw InputError("the weight of " + plan.name + " is of size " + format_digits(whole, 3) +
                         ": its square is no number of fp32 any more",
                     "the file is damaged (a flipped bit is enough); take another copy");
  }
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
  factors.relative_error = whole > 0 ? frobenius(rest) / whole : 0;
  factors.seconds = stopwatch.seconds();
  return factors;
}

}  // namespace littlebit
