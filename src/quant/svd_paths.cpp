// The paths' loop of Dual-SVID (paper sections 3.2 and 3.3, specs section 5). The first path
// approximates the weight, the second one what the first has left over.
#include "svd_paths.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>

namespace littlebit {
namespace {

double frobenius(const at::Tensor& t) { return at::linalg_vector_norm(t).item<double>(); }

}  // namespace

LayerFactors factorize_paths(const LayerInput& input, const QuantOptions& options,
                             const RefineFactors& refine) {
  const SvdOptions svd{.oversampling = options.svd_oversampling,
                       .power_iterations = options.svd_power_iterations};
  LayerFactors factors;
  at::Tensor rest = input.weight;
  for (int p = 0; p < input.plan.paths; ++p) {
    const std::string purpose = input.plan.name + "/path " + std::to_string(p);
    LowRank low_rank = randomized_svd(rest, input.plan.rank, svd, input.seed, "svd/" + purpose);
    // Joint-ITQ rotates here, which leaves the product of both factors as it is.
    if (refine) refine(low_rank, purpose);
    // With |left| ~ u1 u2^T and |right| ~ v1 v2^T, left ~ diag(u1) sign(left) diag(u2), and right
    // likewise; the path is their product.
    const RankOne u = rank_one(low_rank.left.abs());
    const RankOne v = rank_one(low_rank.right.abs());
    factors.paths.push_back({.U = low_rank.left.contiguous(),
                             .V = low_rank.right.contiguous(),
                             .u1 = u.row,
                             .u2 = u.column,
                             .v1 = v.row,
                             .v2 = v.column});
    // What the signs and scales leave, not what the SVD left: the next path makes up for both.
    rest = rest - effective_weight(factors.paths.back());
  }
  const double whole = frobenius(input.weight);
  factors.relative_error = whole > 0 ? frobenius(rest) / whole : 0;
  return factors;
}

}  // namespace littlebit
