// How parameters move (section `optim`).
#pragma once

#include <cstdint>

namespace littlebit {

class OptionGroup;

enum class Schedule { kCosine, kConstant, kLinear };

struct OptimOptions {
  double learning_rate = 4e-5;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  double warmup_ratio = 0.02;
  Schedule schedule = Schedule::kCosine;
  double max_grad_norm = 1;  // 0: no clipping
  void declare(OptionGroup& group);
};

// The rate of step k (from 0) of `steps`: linear warm-up over w = ceil(warmup_ratio * steps) steps
// (k < w: k / w), then cosine (1 + cos(pi (k - w) / (steps - w))) / 2, constant 1, or linear (steps
// - k) / (steps - w); times the peak.
double learning_rate_at(const OptimOptions& options, int64_t k, int64_t steps);

}  // namespace littlebit
