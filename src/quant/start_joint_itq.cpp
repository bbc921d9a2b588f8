// Joint-ITQ (arXiv 2603.00042, specs section 5): Dual-SVID of factors that one rotation of the
// latent space has brought closer to their signs.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svd.h>

#include "littlebit/ops/product.h"
#include "random_matrices.h"
#include "start_rows.h"
#include "svd_paths.h"

namespace littlebit {
namespace {

at::Tensor orthonormal(const at::Tensor& y) { return std::get<0>(at::linalg_qr(y, "reduced")); }

// Alternates between the signs of the rotated left and right^T, and the rotation that is nearest to
// them. One rotation for both sides: it goes into left, its inverse into right, and their product
// stays what it was.
void rotate_towards_signs(LowRank& factors, int64_t iterations, uint64_t seed,
                          const std::string& purpose) {
  // A latent dimension is a column of left and a row of right: both sides are points in the same
  // space, and vote for one rotation.
  const at::Tensor x = at::cat({factors.left, factors.right.t()});  // [m + n, r]
  const at::Tensor x_t = x.t().contiguous();
  // Random, as the paper has it: the SVD's own directions differ widely in size.
  at::Tensor rotation = orthonormal(gaussian(x.size(1), x.size(1), x, seed, purpose));
  // Each half of a round can only bring x rotation nearer to b, in the Frobenius norm: first b is
  // the nearest sign matrix, then the rotation is the best for that b.
  for (int64_t i = 0; i < iterations; ++i) {
    const at::Tensor b = sign_of(matmul_nt(x, rotation.t()));
    // Orthogonal Procrustes: of all rotations Q P^T brings x nearest to b, where b^T x = P S Q^T.
    const auto [p, s, q_t] = at::linalg_svd(matmul_nt(b.t(), x_t), false);
    rotation = matmul_nt(q_t.t(), p);
  }
  factors.left = matmul_nt(factors.left, rotation.t());
  factors.right = matmul_nt(rotation.t(), factors.right.t());
}

LayerFactors make(const LayerInput& input, const QuantOptions& options) {
  return factorize_paths(input, options, [&](LowRank& factors, const std::string& purpose) {
    rotate_towards_signs(factors, options.itq_iterations, input.seed, "itq/" + purpose);
  });
}

}  // namespace

Start joint_itq() {
  return {
      .name = "joint_itq",
      .about = "Joint-ITQ rotates its latent space first (arXiv 2603.00042)",
      .make = make,
      .options = {"quant.svd_oversampling", "quant.svd_power_iterations", "quant.itq_iterations"}};
}

}  // namespace littlebit
