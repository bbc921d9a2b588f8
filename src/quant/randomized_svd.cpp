// The randomised SVD: subspace iteration whose bases are kept well-conditioned by Cholesky
// factorisations of Gram matrices (products, not Householder reflections), with QR where a Gram
// matrix cannot tell directions apart. Bases are rows, as product_nt likes them.
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <tuple>

#include "littlebit/core/error.h"
#include "littlebit/quant/factorization.h"
#include "matrices.h"

namespace littlebit {
namespace {

at::Tensor householder_rows(const at::Tensor& rows) {
  return std::get<0>(at::linalg_qr(rows.t(), "reduced")).t().contiguous();
}

// L^-1 rows with L the Cholesky factor of gram + shift; undefined where gram is not positive
// definite to rounding, or a pivot is below `least_pivot`.
at::Tensor solved_rows(const at::Tensor& rows, const at::Tensor& gram, double shift,
                       double least_pivot) {
  at::Tensor wide = gram.to(at::kDouble);
  if (shift > 0) wide.diagonal().add_(shift);
  const auto [factor, info] = at::linalg_cholesky_ex(wide);
  if (info.item<int>() != 0) return {};
  if (!(factor.diagonal().min().item<double>() >= least_pivot)) return {};
  return at::linalg_solve_triangular(factor.to(rows.scalar_type()), rows, /*upper=*/false);
}

// The same row space in a basis whose condition is at most some hundreds, whatever the rows' was
// within the resolution of their dtype. The shift keeps the Gram matrix positive definite: its
// rounding error is about its largest eigenvalue, at most k, times the dtype's resolution.
at::Tensor conditioned_rows(const at::Tensor& rows) {
  const at::Tensor norms = at::linalg_vector_norm(rows, 2, {1}, true).clamp_min(1e-30);
  const at::Tensor unit = rows / norms;
  const double shift = 2e-7 * static_cast<double>(rows.size(0));
  const at::Tensor solved = solved_rows(unit, product_nt(unit, unit), shift, 0);
  return solved.defined() ? solved : householder_rows(rows);
}

// Orthonormal rows of the same space. A second pass without a shift removes what the first left;
// where it meets a pivot too small for that, directions were lost to rounding: QR of the rows.
at::Tensor orthonormal_rows(const at::Tensor& rows) {
  const at::Tensor once = conditioned_rows(rows);
  const at::Tensor twice = solved_rows(once, product_nt(once, once), 0, 0.05);
  return twice.defined() ? twice : householder_rows(rows);
}

// Eigenvalues and vectors of b b^T, ascending, fp64. The product in b's dtype blurs eigenvalues
// below about 1e-6 of the largest; where those are wanted (place `first` on) it is taken in fp64.
std::tuple<at::Tensor, at::Tensor> gram_eigen(const at::Tensor& b, int64_t first) {
  auto result = at::linalg_eigh(product_nt(b, b).to(at::kDouble));
  const at::Tensor& values = std::get<0>(result);
  if (b.scalar_type() != at::kDouble &&
      !(values[first].item<double>() > 1e-4 * values[-1].item<double>())) {
    const at::Tensor wide = b.to(at::kDouble);
    result = at::linalg_eigh(product_nt(wide, wide));
  }
  return result;
}

}  // namespace

LowRank randomized_svd(const at::Tensor& w, int64_t rank, const SvdOptions& options, uint64_t seed,
                       const std::string& purpose) {
  c10::NoGradGuard no_grad;
  const int64_t smaller = std::min(w.size(0), w.size(1));
  LB_ASSERT(rank >= 1 && rank <= smaller, "rank of the SVD");
  const int64_t k = std::min(rank + options.oversampling, smaller);
  const at::Tensor w_mn = w.contiguous(), w_nm = w.t().contiguous();

  // Rows of z span (nearly) the leading right singular vectors.
  at::Tensor z = product_nt(gaussian(k, w.size(0), w, seed, purpose), w_nm);  // [k, n]
  for (int64_t i = 0; i < options.power_iterations; ++i) {
    const at::Tensor y = conditioned_rows(product_nt(w_mn, z).t().contiguous());  // [k, m]
    z = product_nt(w_nm, y).t().contiguous();
    if (i + 1 < options.power_iterations) z = conditioned_rows(z);
  }
  z = orthonormal_rows(z);
  const at::Tensor b = product_nt(w_mn, z).t().contiguous();  // [k, m], W ~= b^T z

  // b = E S F^T by the eigenproblem b b^T = E S^2 E^T.
  const auto [eigenvalues, eigenvectors] = gram_eigen(b, k - rank);
  const at::Tensor e = eigenvectors.narrow(1, k - rank, rank).flip({1});
  const at::Tensor s = eigenvalues.narrow(0, k - rank, rank).flip({0}).clamp_min(0).sqrt();
  const at::Tensor root = s.sqrt();
  // Directions below fp32's resolution carry nothing: their factors are zero.
  const at::Tensor usable = s > s[0] * 1e-7;
  const at::Tensor inverse_root =
      at::where(usable, root.clamp_min(1e-150).reciprocal(), at::zeros_like(root));
  const at::Tensor to_left = (e * inverse_root).t().contiguous().to(w.scalar_type());
  const at::Tensor to_right = (e * root).t().contiguous().to(w.scalar_type());
  return {.left = product_nt(b.t(), to_left), .right = product_nt(to_right, z.t())};
}

}  // namespace littlebit
