// The randomised SVD (Halko, Martinsson, Tropp): subspace iteration whose bases are kept
// well-conditioned by Cholesky factorisations of Gram matrices (products, not Householder
// reflections), with QR where a Gram matrix cannot tell directions apart. Bases are rows, as
// matmul_nt likes them.
//
//     1. z = random signs times w                           k rows, k = rank + oversampling
//     2. z = basis(z w^T) w, `power_iterations` times       the leading directions grow
//     3. z = orthonormal rows; b = z w^T, so w ~ b^T z      all of w that z's rows span
//     4. b b^T = E S^2 E^T, a k x k eigenproblem            singular values and both sides
#include "littlebit/quant/randomized_svd.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky_ex.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_solve_triangular.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"
#include "littlebit/device/device.h"
#include "littlebit/ops/product.h"
#include "random_matrices.h"

namespace littlebit {
namespace {

at::Tensor householder_rows(const at::Tensor& rows) {
  return std::get<0>(at::linalg_qr(rows.t(), "reduced")).t().contiguous();
}

struct Basis {
  at::Tensor rows;  // undefined where the Gram matrix is not positive definite to rounding
  double least_pivot = 0;
};

// Unit rows u that are independent enough, as they are: where the least pivot of the Cholesky
// factor L of u u^T is at least `enough`. Else L^-1 u, a basis of the same space. Near 1 says
// orthogonal. The shift goes onto the diagonal.
Basis independent_rows(const at::Tensor& unit, double enough, double shift) {
  at::Tensor gram = matmul_nt(unit, unit).to(at::kDouble);
  if (shift > 0) gram.diagonal().add_(shift);
  const auto [factor, info] = at::linalg_cholesky_ex(gram);
  if (info.item<int>() != 0) return {};
  const double least_pivot = factor.diagonal().min().item<double>();
  if (least_pivot >= enough) return {unit, least_pivot};
  const at::Tensor inverse =
      at::linalg_solve_triangular(factor, at::eye(gram.size(0), gram.options()), /*upper=*/false);
  return {matmul_nt(inverse.to(unit.scalar_type()), unit.t()), least_pivot};
}

at::Tensor unit_rows(const at::Tensor& rows) {
  return rows / at::linalg_vector_norm(rows, 2, {1}, true).clamp_min(1e-30);
}

// The same row space in a basis whose condition is at most some hundreds, whatever the rows' was
// within the resolution of their dtype. The shift keeps the Gram matrix positive definite: its
// rounding error is about its largest eigenvalue, at most k, times the dtype's resolution.
Basis conditioned_rows(const at::Tensor& rows) {
  const double shift = 2e-7 * static_cast<double>(rows.size(0));
  Basis basis = independent_rows(unit_rows(rows), /*enough=*/0.5, shift);
  if (!basis.rows.defined()) basis = {householder_rows(rows), 0};
  return basis;
}

// Orthonormal rows of the same space, to about 1e-4: in one pass where rounding allows it. Else a
// second pass, without a shift, removes what the first left; where that one meets a pivot too
// small, directions were lost to rounding: QR of the rows.
at::Tensor orthonormal_rows(const at::Tensor& rows) {
  constexpr double kAlways = std::numeric_limits<double>::infinity();
  const Basis direct = independent_rows(unit_rows(rows), kAlways, 0);
  if (direct.least_pivot >= 0.1) return direct.rows;
  const Basis twice = independent_rows(conditioned_rows(rows).rows, kAlways, 0);
  return twice.least_pivot >= 0.05 ? twice.rows : householder_rows(rows);
}

// Products with w [m, n], as it is or with both sides rounded to bf16 (sums in fp32).
class Multiplier {
 public:
  Multiplier(const at::Tensor& w, bool narrow) : matrix_(narrow ? w.to(at::kBFloat16) : w) {}

  at::Tensor by_w(const at::Tensor& rows) const {  // rows w
    return product(rows, matrix_.t());
  }
  at::Tensor by_w_t(const at::Tensor& rows) const {  // rows w^T
    return product(rows, matrix_);
  }

 private:
  static at::Tensor product(const at::Tensor& rows, const at::Tensor& other) {
    if (other.scalar_type() != at::kBFloat16) return matmul_nt(rows, other);
    return at::matmul(rows.to(at::kBFloat16), other.t()).to(rows.scalar_type());
  }

  at::Tensor matrix_;
};

// Orthonormal rows [k, n] from random ones [k, m] that span nearly the leading right singular
// vectors of w.
at::Tensor leading_rows(const Multiplier& multiply, const at::Tensor& start,
                        int64_t power_iterations) {
  // Subspace iteration: each pair of products multiplies the directions' weights by their squared
  // singular values, so that the leading ones grow against the rest.
  at::Tensor z = multiply.by_w(start);
  for (int64_t i = 0; i < power_iterations; ++i) {
    const Basis y = conditioned_rows(multiply.by_w_t(z));
    z = multiply.by_w(y.rows);
    // Of a spectrum without large steps two products in a row leave enough of every direction.
    if (i + 1 < power_iterations && y.least_pivot < 0.1) z = conditioned_rows(z).rows;
  }
  return orthonormal_rows(z);
}

// Whether products of bf16 are faster than those of fp32 here.
bool fast_bf16(const at::Tensor& w) {
#if defined(__x86_64__)
  return device_traits(w.device()).is_host && w.scalar_type() == at::kFloat &&
         __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

// Whether the leading part of w, with singular values s, is as good from products in bf16: their
// noise must stay far below the last direction (its spectral norm is estimated), and far below what
// the truncation leaves out (it is 0.2 % of w, against a tenth and more).
bool bf16_is_accurate(const at::Tensor& s, const at::Tensor& w) {
  const auto root = [](int64_t size) { return 1 / std::sqrt(static_cast<double>(size)); };
  const double norm = at::linalg_vector_norm(w).item<double>();
  const double noise = norm * 0x1p-9 / std::sqrt(3.0) * (root(w.size(0)) + root(w.size(1)));
  const double left_out = norm * norm - s.square().sum().item<double>();
  return s[-1].item<double>() > 8 * noise && left_out > 0.01 * norm * norm;
}

// Eigenvalues and vectors of b b^T, ascending, fp64. Where fp32 blurs the smallest eigenvalues
// wanted (from place `first` on) they are found in fp64.
std::tuple<at::Tensor, at::Tensor> gram_eigen(const at::Tensor& b, int64_t first) {
  auto [values, vectors] = at::linalg_eigh(matmul_nt(b, b));
  if (b.scalar_type() != at::kDouble &&
      !(values[first].item<double>() > 1e-5 * values[-1].item<double>())) {
    const at::Tensor wide = b.to(at::kDouble);
    return at::linalg_eigh(matmul_nt(wide, wide));
  }
  return {values.to(at::kDouble), vectors.to(at::kDouble)};
}

}  // namespace

LowRank randomized_svd(const at::Tensor& w, int64_t rank, const SvdOptions& options, uint64_t seed,
                       const std::string& purpose) {
  c10::NoGradGuard no_grad;
  const int64_t smaller = std::min(w.size(0), w.size(1));
  LB_ASSERT(rank >= 1 && rank <= smaller, "rank of the SVD");
  // The extra columns take up what the trailing directions mix in, and are cut off at the end.
  const int64_t k = std::min(rank + options.oversampling, smaller);
  const at::Tensor start = random_signs(k, w.size(0), w, RandomStream(seed, purpose));
  at::Tensor z, b, e, s;  // W ~= b^T z, b b^T = E S^2 E^T
  for (bool narrow = fast_bf16(w);; narrow = false) {
    const Multiplier multiply(w, narrow);
    z = leading_rows(multiply, start, options.power_iterations);
    b = multiply.by_w_t(z);  // [k, m]
    const auto [values, vectors] = gram_eigen(b, k - rank);
    e = vectors.narrow(1, k - rank, rank).flip({1});
    s = values.narrow(0, k - rank, rank).flip({0}).clamp_min(0).sqrt();
    if (!narrow || bf16_is_accurate(s, w)) break;
  }
  const at::Tensor root = s.sqrt();
  // Directions below fp32's resolution carry nothing: their factors are zero.
  const at::Tensor usable = s > s[0] * 1e-7;
  const at::Tensor inverse_root =
      at::where(usable, root.clamp_min(1e-150).reciprocal(), at::zeros_like(root));
  // The columns of b^T E S^-1 are the left singular vectors, the rows of E^T z the right ones; each
  // side takes the root of S.
  const at::Tensor to_left = (e * inverse_root).t().contiguous().to(w.scalar_type());
  const at::Tensor to_right = (e * root).t().contiguous().to(w.scalar_type());
  return {.left = matmul_nt(b.t(), to_left), .right = matmul_nt(to_right, z.t())};
}

}  // namespace littlebit
