// Ranks by layer: what may never be exceeded, and where the bits go.
#include "littlebit/quant/rank_allocation.h"

#include <catch2/catch.hpp>
#include <random>

using namespace littlebit;

namespace {

QuantOptions options_of(double bits, bool residual = false, int64_t min_rank = 8) {
  QuantOptions options;
  options.bits_per_weight = bits;
  options.residual = residual;
  options.min_rank = min_rank;
  return options;
}

// `blocks` of a small decoder's shapes.
std::vector<LayerPlan> uniform_plans(const QuantOptions& options, int64_t blocks = 4,
                                     int64_t width = 256, int64_t inner = 688) {
  std::vector<LayerPlan> plans;
  for (int64_t block = 0; block < blocks; ++block) {
    const std::string name = "model.layers." + std::to_string(block);
    plans.push_back(plan_layer(name + ".self_attn.q_proj", width, width, options));
    plans.push_back(plan_layer(name + ".self_attn.k_proj", width, width / 2, options));
    plans.push_back(plan_layer(name + ".mlp.up_proj", width, inner, options));
    plans.push_back(plan_layer(name + ".mlp.down_proj", inner, width, options));
  }
  return plans;
}

struct Total {
  double formula = 0, stored = 0, weights = 0;
};

Total total_of(std::span<const LayerPlan> plans) {
  Total total;
  for (const LayerPlan& plan : plans) {
    const double weights = static_cast<double>(plan.d_in) * static_cast<double>(plan.d_out);
    total.formula += plan.effective_bits() * weights;
    total.stored += static_cast<double>(plan.stored_bits());
    total.weights += weights;
  }
  return total;
}

std::vector<double> random_harm(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> draw(-3, 2);
  std::vector<double> harm(size);
  for (double& each : harm) each = draw(random);
  return harm;
}

}  // namespace

TEST_CASE("allocated ranks keep the bits, the steps and the bounds") {
  for (const double bits : {0.1, 0.3, 0.55, 0.8, 1.0, 4.0}) {
    for (const bool residual : {false, true}) {
      for (const int64_t min_rank : {1, 8, 12, 24}) {
        const QuantOptions options = options_of(bits, residual, min_rank);
        for (const int64_t width : {64, 100, 256, 576}) {
          CAPTURE(bits, residual, min_rank, width);
          const std::vector<LayerPlan> plans = uniform_plans(options, 3, width, 2 * width + 7);
          const std::vector<LayerPlan> made = allocate_ranks(
              plans, random_harm(plans.size(), static_cast<uint64_t>(width)), options);
          const Total before = total_of(plans), after = total_of(made);
          CHECK(after.formula <= before.formula * (1 + 1e-12));
          CHECK(after.stored <= std::max(before.stored, bits * before.weights));
          REQUIRE(made.size() == plans.size());
          for (size_t i = 0; i < made.size(); ++i) {
            const LayerPlan &was = plans[i], &is = made[i];
            CHECK(is.name == was.name);
            CHECK(is.paths == was.paths);
            if (was.rank % 8 != 0) CHECK(is.rank == was.rank);
            if (was.rank % 8 == 0) CHECK(is.rank % 8 == 0);
            CHECK(is.rank >= std::min(was.rank, min_rank));
            CHECK(is.rank <= std::max(was.rank, std::min(was.d_in, was.d_out)));
            CHECK(is.rank <= 2 * was.rank);
            CHECK(2 * is.rank >= was.rank - 16);
          }
        }
      }
    }
  }
}

TEST_CASE("ranks go to the layers that do more harm") {
  const QuantOptions options = options_of(0.55);
  const std::vector<LayerPlan> plans = uniform_plans(options);
  std::vector<double> harm(plans.size(), 0.01);
  harm[2] = 3;
  const std::vector<LayerPlan> made = allocate_ranks(plans, harm, options);
  CHECK(made[2].rank == 2 * plans[2].rank);
  for (size_t i = 6; i < made.size(); i += 4) CHECK(made[i].rank < made[2].rank);  // of its shape
  // Of two layers of one shape, the one that does more harm never gets less.
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const std::vector<double> other = random_harm(plans.size(), seed);
    const std::vector<LayerPlan> ranks = allocate_ranks(plans, other, options);
    for (size_t i = 0; i + 4 < plans.size(); ++i) {
      if (other[i] > other[i + 4]) CHECK(ranks[i].rank >= ranks[i + 4].rank);
    }
  }
}

TEST_CASE(
    "harm is compared, not measured: its unit does not matter, and none at all does no harm") {
  const QuantOptions options = options_of(0.3);
  const std::vector<LayerPlan> plans = uniform_plans(options);
  std::vector<double> harm = random_harm(plans.size(), 5);
  const std::vector<LayerPlan> made = allocate_ranks(plans, harm, options);
  for (double& each : harm) each *= 1024;
  const std::vector<LayerPlan> scaled = allocate_ranks(plans, harm, options);
  for (size_t i = 0; i < made.size(); ++i) CHECK(made[i].rank == scaled[i].rank);

  const std::vector<double> none(plans.size(), 0);
  const std::vector<LayerPlan> level = allocate_ranks(plans, none, options);
  CHECK(total_of(level).formula <= total_of(plans).formula);
}
