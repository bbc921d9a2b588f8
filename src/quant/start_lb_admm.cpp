// LB-ADMM (after arXiv 2602.06694, "NanoQuant"): both factors of the weight are fitted by ridge
// regression in turns, each drawn more and more towards signs with rank-one magnitudes. What comes
// out has the form of a path exactly, so its three scales are read off and nothing is lost.
//
// Several paths are one of as many times the rank, divided: they begin with the same row and column
// scales.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cholesky_solve.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>

#include "littlebit/ops/product.h"
#include "random_matrices.h"
#include "start_rows.h"

namespace littlebit {
namespace {

constexpr double kRidge = 0.03;      // of the regressions, where nothing is drawn yet
constexpr double kSmallest = 1e-30;  // that is divided by

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

// sign(t) times magnitudes row column^T, the rank-one fit of |t|.
struct SignedRankOne {
  at::Tensor signs, row, column;
  at::Tensor whole() const { return signs * row.unsqueeze(1) * column; }
};

// A few steps of power iteration from ones, which for magnitudes is never orthogonal to the leading
// vector; a round of the alternation needs no more precision, as the next one projects anew. `row`
// has length 1, `column` carries the size.
SignedRankOne project(const at::Tensor& t) {
  constexpr int kIterations = 5;
  const at::Tensor magnitudes = t.abs(), transposed = magnitudes.t();
  at::Tensor row, column = at::ones({t.size(1)}, t.options());
  for (int i = 0; i < kIterations; ++i) {
    row = at::mv(magnitudes, column);
    row.div_(std::max(frobenius(row), kSmallest));
    column = at::mv(transposed, row);
    if (i + 1 < kIterations) column.div_(std::max(frobenius(column), kSmallest));
  }
  return {.signs = sign_of(t), .row = row, .column = column};
}

// `t` [k, n], its rows of length 1.
at::Tensor rows_of_length_one(const at::Tensor& t) {
  return t /
         at::linalg_vector_norm(t, 2, at::IntArrayRef{1}, /*keepdim=*/true).clamp_min(kSmallest);
}

// One side of the alternation: `values` [k, r] is the factor, `pull` its dual variable, `target`
// its projection.
struct Side {
  at::Tensor values, pull;
  SignedRankOne target;
  at::Tensor drawn() const { return values + pull; }

  explicit Side(at::Tensor start) : values(std::move(start)), target(project(values)) {
    pull = values - target.whole();
  }

  // values = the nearest to `weight` [k, n] ~ values basis, drawn to the target by `rho`; basis [r,
  // n] has rows of length 1.
  void fit(const at::Tensor& weight, const at::Tensor& basis, double rho) {
    // With B = basis and Z = target, X minimises
    //
    //     |W - X B|^2 + ridge |X|^2 + rho |X - (Z - pull)|^2,
    //     so that (B B^T + (rho + ridge) I) X^T = B W^T + rho (Z - pull)^T.
    //
    // The ridge keeps the left side positive definite where latent dimensions are alike.
    const at::Tensor gram = matmul_nt(basis, basis);
    const at::Tensor lower =
        at::linalg_cholesky(gram + at::eye(gram.size(0), gram.options()) * (rho + kRidge));
    const at::Tensor right =
        matmul_nt(basis, weight).add_((target.whole() - pull).t(), rho);  // [r, k]
    values = at::cholesky_solve(right, lower).t().contiguous();
  }
  // ADMM's update of projection and scaled dual variable: the dual sums up how far the values have
  // stayed from their projection, and pulls harder the longer they do.
  void draw() {
    const at::Tensor before = drawn();
    target = project(before);
    pull = before - target.whole();
  }
};

LayerFactors make(const LayerInput& input, const QuantOptions& options) {
  const at::Tensor &weight = input.weight, transposed = weight.t().contiguous();
  const int64_t rank = input.plan.rank, all = rank * input.plan.paths;
  // Every quantity scales with the weight's size but the ridge and the pull.
  const double size = frobenius(weight) / std::sqrt(static_cast<double>(weight.numel()));
  const double scale = size > 0 ? 1 / size : 1;
  const at::Tensor w = weight * scale, w_t = transposed * scale;
  const auto start = [&](int64_t rows, const char* side) {
    return Side(gaussian(rows, all, weight, input.seed, "admm/" + input.plan.name + side));
  };
  Side left = start(weight.size(0), "/U"), right = start(weight.size(1), "/V");
  for (int64_t i = 0; i < options.admm_iterations; ++i) {
    const double rho = static_cast<double>(i) / static_cast<double>(options.admm_iterations);
    // Each side is fitted to the other's projection, not to its values: the result is made of
    // projections. Rows of length 1 make ridge and pull act on all latent dimensions alike.
    left.fit(w, rows_of_length_one(right.target.whole().t()), rho);
    right.fit(w_t, rows_of_length_one(left.target.whole().t()), rho);
    left.draw();
    right.draw();
  }
  // W ~ Z_U diag(1 / lengths of Z_U's columns) Z_V^T. The last fit was to a basis of Z_U's columns
  // with length 1. u.row has length 1, so those lengths are u.column, which cancels out.
  const SignedRankOne &u = left.target, &v = right.target;
  // W ~ size * (signs of U and u.row) diag(v.column) (signs of V and v.row)^T. The size is divided
  // evenly: |h| |g| and the sum of l^2 are both `root`.
  const double root = std::sqrt(std::max(v.column.sum().item<double>() * size, kSmallest));
  const at::Tensor h = u.row * std::sqrt(root);
  const at::Tensor g = v.row * std::sqrt(root);
  const at::Tensor l = (v.column * (size / root)).sqrt();
  LayerFactors factors;
  at::Tensor rest = weight;
  for (int64_t first = 0; first < all; first += rank) {
    const auto part = [&](const at::Tensor& t) { return t.narrow(-1, first, rank).contiguous(); };
    // Latents are what was projected last: they have the path's signs, and their size says how far
    // each is from another sign.
    factors.paths.push_back({.U = part(u.whole() + left.pull),
                             .V = part(v.whole() + right.pull).t().contiguous(),
                             .u1 = h.clone(),
                             .u2 = part(l),
                             .v1 = part(l),
                             .v2 = g.clone()});
    rest = rest - effective_weight(factors.paths.back());
  }
  const double whole = frobenius(weight);
  factors.relative_error = whole > 0 ? frobenius(rest) / whole : 0;
  return factors;
}

}  // namespace

Start lb_admm() {
  return {.name = "lb_admm",
          .about = "LB-ADMM pulls both factors towards signs while it fits them (arXiv 2602.06694)",
          .make = make,
          .options = {"quant.admm_iterations"}};
}

}  // namespace littlebit
