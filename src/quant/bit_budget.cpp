// The rank rule of specs section 3, and the bits of a rank by the paper's formula and as stored. A
// rank is a multiple of 8 unless quant.min_rank or the matrix itself forces another.
#include "littlebit/quant/bit_budget.h"

#include <algorithm>
#include <cmath>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

bool is_kv(const std::string& name) {
  return name.ends_with(".k_proj") || name.ends_with(".v_proj");
}

}  // namespace

double LayerPlan::effective_bits() const {
  const double a = static_cast<double>(d_in), b = static_cast<double>(d_out),
               r = static_cast<double>(rank);
  return paths * (r * (a + b + 16) + 16 * (a + b)) / (a * b);
}

int64_t LayerPlan::stored_bits() const {
  const auto words = [](int64_t n) { return (n + 31) / 32; };
  const int64_t signs = 32 * (d_out * words(rank) + rank * words(d_in));
  // All four vectors are stored, in bf16.
  const int64_t scales = 16 * (d_in + d_out + 2 * rank);
  return paths * (signs + scales);
}

LayerPlan plan_layer(const std::string& name, int64_t d_in, int64_t d_out,
                     const QuantOptions& options) {
  LayerPlan plan{.name = name, .d_in = d_in, .d_out = d_out, .paths = options.residual ? 2 : 1};
  const double a = static_cast<double>(d_in), b = static_cast<double>(d_out);
  const double paths = plan.paths;
  // The paper's count solved for r: paths (r (a + b + 16) + 16 (a + b)) = a b bits. Per path, both
  // sign matrices, one vector of length r and the two of lengths a and b in 16 bits.
  double budget = (a * b * options.bits_per_weight - 16 * paths * (a + b)) / (paths * (a + b + 16));
  if (is_kv(name)) budget *= options.kv_factor;
  int64_t rank = static_cast<int64_t>(std::floor(std::min(budget, 1e15) / 8)) * 8;

  const int64_t smaller = std::min(d_in, d_out);
  if (options.min_rank > smaller) {
    throw UsageError("layer " + name + " [" + std::to_string(d_out) + ", " + std::to_string(d_in) +
                         "] is too small for quant.min_rank=" + std::to_string(options.min_rank),
                     "lower quant.min_rank to at most " + std::to_string(smaller));
  }
  if (rank < options.min_rank) {
    rank = options.min_rank;
    plan.at_floor = true;
  }
  // No more ranks than the matrix has, rounded down to a multiple of 8 unless min_rank asks for
  // more.
  const int64_t cap = std::max<int64_t>(smaller / 8 * 8, std::min(smaller, options.min_rank));
  if (rank > cap) {
    rank = cap;
    plan.at_cap = true;
  }
  plan.rank = rank;
  return plan;
}

}  // namespace littlebit
