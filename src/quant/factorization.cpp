// What factors stand for, and the rank-one fit by power iteration.
#include "littlebit/quant/factorization.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "littlebit/ops/product.h"

namespace littlebit {
namespace {

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

}  // namespace

at::Tensor sign_of(const at::Tensor& t) { return t.ge(0).to(t.scalar_type()).mul_(2).sub_(1); }

RankOne rank_one(const at::Tensor& a) {
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
  // Both vectors get the same share of the singular value. Rounding may have left tiny negative
  // entries.
  const double root = std::sqrt(sigma);
  return {left.clamp_min_(0).mul_(root), right.clamp_min_(0).mul_(root)};
}

at::Tensor effective_weight(const FactorPath& path) {
  // The inner scale goes into the thin factor, before the product.
  const at::Tensor u = sign_of(path.U).mul_(path.u1.unsqueeze(1)).mul_(path.u2 * path.v1);
  return matmul_nt(u, sign_of(path.V).mul_(path.v2).t());
}

}  // namespace littlebit
