// The randomised SVD: the low-rank approximation that most starts begin with, on any device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace littlebit {

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

}  // namespace littlebit
