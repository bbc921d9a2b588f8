// Warm-up, then the curve that optim.schedule names.
#include "littlebit/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace littlebit {

namespace {

double rate_at(double peak, const OptimOptions& options, int64_t k, int64_t steps) {
  const double n = static_cast<double>(steps), at = static_cast<double>(k);
  // As Hugging Face's schedules: the rate rises from 0 at step 0 to the peak at step `warmup`.
  const double warmup = std::ceil(options.warmup_ratio * n);
  if (at < warmup) return peak * at / warmup;
  const double rest = std::max(1.0, n - warmup);
  // From 0 at the peak to 1 at the end, and no further where a run goes on beyond it.
  const double progress = std::min(1.0, (at - warmup) / rest);
  double factor = 1;
  if (options.schedule == Schedule::kCosine)
    factor = (1 + std::cos(std::numbers::pi * progress)) / 2;
  if (options.schedule == Schedule::kLinear) factor = 1 - progress;
  return peak * factor;
}

}  // namespace

double learning_rate_at(const OptimOptions& options, int64_t k, int64_t steps) {
  return rate_at(options.learning_rate, options, k, steps);
}

Rates rates_at(const OptimOptions& options, const Phase& phase, int64_t k) {
  const double rate = learning_rate_at(options, k, phase.steps);
  const double latent_peak = options.latent_learning_rate;
  return {.latents = latent_peak > 0 ? rate_at(latent_peak, options, k, phase.steps) : rate,
          .scales = rate,
          .norms = rate};
}

}  // namespace littlebit
