// Learning rates over a run.
#pragma once

#include <cstdint>
#include <string>

#include "littlebit/optim/options.h"

namespace littlebit {

// A stretch of a run with a schedule of its own: of training all blocks together, or one of them.
struct Phase {
  std::string name = "distill";
  int64_t steps = 0;
};

// The rates of one step, by what they move.
struct Rates {
  double latents = 0, scales = 0, norms = 0;  // norms: biases too
};

// The rate of step k (from 0) of `steps`: linear warm-up over w = ceil(warmup_ratio * steps) steps
// (k < w: k / w), then cosine (1 + cos(pi (k - w) / (steps - w))) / 2, constant 1, or linear (steps
// - k) / (steps - w); times the peak, optim.learning_rate.
double learning_rate_at(const OptimOptions& options, int64_t k, int64_t steps);

// The same for each kind, by its own peak, k counted in the phase.
Rates rates_at(const OptimOptions& options, const Phase& phase, int64_t k);

}  // namespace littlebit
