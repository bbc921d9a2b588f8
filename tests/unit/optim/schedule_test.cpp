// Learning-rate schedules against specs section 6.
#include "littlebit/optim/schedule.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace littlebit;

TEST_CASE("cosine with linear warm-up: the first rate is 0, the last not quite") {
  OptimOptions options;
  options.learning_rate = 1e-3;
  const int64_t n = 200;  // w = 4
  CHECK(learning_rate_at(options, 0, n) == 0);
  CHECK(learning_rate_at(options, 1, n) == Approx(0.25e-3));
  CHECK(learning_rate_at(options, 4, n) == Approx(1e-3));
  CHECK(learning_rate_at(options, 102, n) == Approx(0.5e-3));
  CHECK(learning_rate_at(options, 199, n) == Approx(1e-3 * (1 + std::cos(M_PI * 195 / 196)) / 2));
  CHECK(learning_rate_at(options, 199, n) > 0);
  // w = ceil(0.02 * 101) = 3
  CHECK(learning_rate_at(options, 2, 101) == Approx(1e-3 * 2 / 3));
  CHECK(learning_rate_at(options, 3, 101) == Approx(1e-3));
}

TEST_CASE("latents have their own peak where one is given, and the same curve") {
  OptimOptions options;
  options.learning_rate = 1e-3;
  options.schedule = Schedule::kLinear;
  const Phase phase{.steps = 100};
  for (const int64_t k : {0, 1, 2, 50, 99}) {
    const Rates one = rates_at(options, phase, k);
    CHECK(one.latents == learning_rate_at(options, k, 100));
    CHECK(one.scales == one.latents);
    CHECK(one.norms == one.latents);
    OptimOptions two = options;
    two.latent_learning_rate = 3e-4;
    const Rates apart = rates_at(two, phase, k);
    CHECK(apart.latents == Approx(0.3 * one.latents));
    CHECK(apart.scales == one.scales);
    CHECK(apart.norms == one.norms);
  }
}

TEST_CASE("constant, linear, no warm-up, all warm-up") {
  OptimOptions options;
  options.learning_rate = 2;
  options.warmup_ratio = 0;
  CHECK(learning_rate_at(options, 0, 10) == 2);
  options.schedule = Schedule::kConstant;
  CHECK(learning_rate_at(options, 9, 10) == 2);
  options.schedule = Schedule::kLinear;
  CHECK(learning_rate_at(options, 5, 10) == Approx(1));
  options.warmup_ratio = 1;
  CHECK(learning_rate_at(options, 9, 10) == Approx(1.8));
  CHECK(std::isfinite(learning_rate_at(options, 10, 10)));
}
