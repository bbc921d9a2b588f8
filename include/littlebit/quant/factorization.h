// The factors of a LittleBit layer: their parts, the effective weight that they stand for, and the
// rank-one fit that gives their scales. quant/starts.h has the methods that compute them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/quant/bit_budget.h"

namespace littlebit {

// One path: latents U [d_out, r], V [r, d_in]; scales u1 [d_out], u2 [r], v1 [r], v2 [d_in].
struct FactorPath {
  at::Tensor U, V, u1, u2, v1, v2;
};

// What one layer's factors are made of.
struct LayerInput {
  at::Tensor weight;  // [d_out, d_in], fp32
  const LayerPlan& plan;
  uint64_t seed = 0;
  // Mean squares, over tokens of text, of the layer's inputs [d_in] and outputs [d_out], fp32;
  // undefined where none were taken.
  at::Tensor input_square = {}, output_square = {};
};

struct LayerFactors {
  std::vector<FactorPath> paths;
  double relative_error = 0;  // ||W - sum of the paths' effective weights||_F / ||W||_F
  double seconds = 0;         // wall time of the factorisation, single-threaded
};

// +1 where t >= 0 (so sign(0) = +1), else -1.
at::Tensor sign_of(const at::Tensor& t);

// The weight a path stands for: diag(u1) sign(U) diag(u2 v1) sign(V) diag(v2).
at::Tensor effective_weight(const FactorPath& path);

// The leading singular pair of a matrix without negative entries, sqrt(sigma) to each side,
// non-negative: a ~= row [m] outer column [n].
struct RankOne {
  at::Tensor row, column;
};
RankOne rank_one(const at::Tensor& a);

}  // namespace littlebit
