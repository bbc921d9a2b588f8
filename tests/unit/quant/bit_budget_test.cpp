// Ranks and bits against the specification's own numbers and a literal reading of its formula.
#include "littlebit/quant/bit_budget.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "littlebit/core/error.h"

using namespace littlebit;

namespace {

int64_t rank_of(int64_t d_in, int64_t d_out, double bits,
                const std::string& name = "model.layers.0.mlp.up_proj", bool residual = true,
                double kv_factor = 1) {
  QuantOptions options;
  options.bits_per_weight = bits;
  options.residual = residual;
  options.kv_factor = kv_factor;
  return plan_layer(name, d_in, d_out, options).rank;
}

}  // namespace

TEST_CASE("ranks of the specification's table") {
  const double bits[] = {1.0, 0.8, 0.55, 0.3, 0.1};
  const int64_t square[] = {1000, 800, 544, 288, 80}, wide[] = {1472, 1176, 800, 424, 128};
  for (int i = 0; i < 5; ++i) {
    CHECK(rank_of(4096, 4096, bits[i]) == square[i]);
    CHECK(rank_of(4096, 11008, bits[i]) == wide[i]);
    CHECK(rank_of(11008, 4096, bits[i]) == wide[i]);
  }
  CHECK(rank_of(896, 128, 0.55) == 8);
  CHECK(rank_of(896, 128, 0.1) == 8);
  CHECK(rank_of(896, 128, 1.0) == 32);
  CHECK(rank_of(8192, 28672, 0.55) == 1728);
}

TEST_CASE("kv_factor multiplies before the floor to 8, for k_proj and v_proj alone") {
  const double budget = (4096.0 * 1024 * 0.1 - 32 * 5120) / (2 * (5120 + 16));
  CHECK(rank_of(4096, 1024, 0.1) == static_cast<int64_t>(budget / 8) * 8);
  for (const char* name : {"model.layers.3.self_attn.k_proj", "model.layers.3.self_attn.v_proj"}) {
    CHECK(rank_of(4096, 1024, 0.1, name, true, 4) == static_cast<int64_t>(4 * budget / 8) * 8);
  }
  CHECK(rank_of(4096, 1024, 0.1, "model.layers.3.self_attn.q_proj", true, 4) ==
        rank_of(4096, 1024, 0.1));
}

TEST_CASE("floor and cap are applied and reported") {
  QuantOptions options;
  options.bits_per_weight = 0.01;
  LayerPlan plan = plan_layer("a", 64, 64, options);
  CHECK(plan.rank == 8);
  CHECK(plan.at_floor);
  CHECK_FALSE(plan.at_cap);

  options.bits_per_weight = 60;
  plan = plan_layer("a", 100, 64, options);
  CHECK(plan.rank == 64);
  CHECK(plan.at_cap);
  CHECK(plan_layer("a", 100, 63, options).rank == 56);

  options.min_rank = 70;
  CHECK_THROWS_AS(plan_layer("too.small", 100, 64, options), UsageError);
  try {
    plan_layer("too.small", 100, 64, options);
  } catch (const UsageError& error) {
    CHECK(std::string(error.what()).find("too.small") != std::string::npos);
  }
}

TEST_CASE("effective and stored bits") {
  QuantOptions options;
  options.bits_per_weight = 0.55;
  const LayerPlan plan = plan_layer("a", 4096, 4096, options);
  CHECK(plan.effective_bits() == Approx((2.0 * 544 * (8192 + 16) + 32.0 * 8192) / (4096.0 * 4096)));
  // 544 columns are 17 words, 4096 are 128: no padding; scales 16 bits, two rank vectors a path.
  CHECK(plan.stored_bits() == 2 * (32 * (4096 * 17 + 544 * 128) + 16 * (8192 + 2 * 544)));
  options.residual = false;
  const LayerPlan one = plan_layer("a", 100, 60, options);
  CHECK(one.effective_bits() == Approx((one.rank * 176.0 + 16 * 160) / 6000));
  CHECK(one.stored_bits() == 32 * (60 * 1 + one.rank * 4) + 16 * (160 + 2 * one.rank));
}
