// Ranks go where they take the most harm away per bit. A layer's harm is modelled as falling
// exponentially with its rank.
#include "littlebit/quant/rank_allocation.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr int64_t kStep = 8;
constexpr int64_t kPadding =
    32;  // rows of signs are stored in words: a move goes up to a whole one
constexpr double kMinShare = 0.5, kMaxShare = 2;  // of the planned rank
// How fast the harm falls, per rank that a dense matrix of as many numbers would have.
constexpr double kFall = 2;
// Below this share of the greatest harm a layer's own is lost in what the measurement is off by.
constexpr double kSmallestShare = 1e-4;

// By the paper's formula, and as stored.
struct Bits {
  int64_t formula = 0, stored = 0;
  Bits& operator+=(const Bits& other) {
    formula += other.formula;
    stored += other.stored;
    return *this;
  }
  Bits operator-(const Bits& other) const {
    return {formula - other.formula, stored - other.stored};
  }
  bool fits(const Bits& into) const { return formula <= into.formula && stored <= into.stored; }
  double sum() const { return static_cast<double>(formula + stored); }
};

Bits bits_of(LayerPlan plan, int64_t rank) {
  plan.rank = rank;
  const double weights = static_cast<double>(plan.d_in) * static_cast<double>(plan.d_out);
  return {.formula = std::llround(plan.effective_bits() * weights), .stored = plan.stored_bits()};
}

struct Move {
  double gain = 0;  // harm per bit
  int64_t rank = 0;
  Bits bits;
};

struct Layer {
  const LayerPlan* plan = nullptr;
  double weight = 0;  // of its harm against the others'
  double whole = 0;   // the rank of a dense matrix of as many numbers
  int64_t rank = 0, most = 0;

  // Up to one word of ranks more, the best of those that fit into `left`. U's rows are stored in
  // whole words: there the first 8 ranks beyond a word take the bits of 32, and the next 24 take
  // none. Steps of 8 alone would be judged wrongly, so all steps up to a word are compared by harm
  // per bit.
  std::optional<Move> best_move(const Bits& left) const {
    // 1 at the planned rank, where it was measured; e^-2 at one dense matrix's worth of ranks more.
    const auto harm = [&](int64_t r) {
      return std::exp(-kFall * static_cast<double>(r - plan->rank) / whole);
    };
    std::optional<Move> best;
    const Bits now = bits_of(*plan, rank);
    for (int64_t to = rank + kStep; to <= std::min(most, rank + kPadding); to += kStep) {
      const Bits bits = bits_of(*plan, to) - now;
      if (!bits.fits(left)) break;
      const double gain = weight * (harm(rank) - harm(to)) / bits.sum();
      if (!best || gain > best->gain) best = Move{.gain = gain, .rank = to, .bits = bits};
    }
    return best;
  }
};

int64_t steps_of(double rank) { return static_cast<int64_t>(std::floor(rank / kStep)) * kStep; }

Layer begin(const LayerPlan& plan, double weight, int64_t min_rank) {
  const auto a = static_cast<double>(plan.d_in), b = static_cast<double>(plan.d_out);
  const auto planned = static_cast<double>(plan.rank);
  Layer layer{.plan = &plan,
              .weight = weight,
              .whole = a * b / (a + b) / plan.paths,
              .rank = plan.rank,
              .most = plan.rank};
  // Such a rank was forced by quant.min_rank or the matrix's size.
  if (plan.rank % kStep != 0) return layer;
  const int64_t smallest = std::max(kStep, (min_rank + kStep - 1) / kStep * kStep);
  layer.rank = std::min(plan.rank, std::max(smallest, steps_of(kMinShare * planned)));
  const int64_t side = steps_of(static_cast<double>(std::min(plan.d_in, plan.d_out)));
  layer.most = std::max(plan.rank, std::min(side, steps_of(kMaxShare * planned)));
  return layer;
}

}  // namespace

std::vector<LayerPlan> allocate_ranks(std::span<const LayerPlan> plans,
                                      std::span<const double> harm, const QuantOptions& options) {
  LB_ASSERT(plans.size() == harm.size(), "the harm of every layer");
  double greatest = 0, weights = 0;
  for (const double each : harm) {
    LB_ASSERT(std::isfinite(each) && each >= 0, "a finite harm, not below 0");
    greatest = std::max(greatest, each);
  }
  std::vector<Layer> layers;
  Bits budget, spent;
  for (size_t i = 0; i < plans.size(); ++i) {
    const LayerPlan& plan = plans[i];
    const double share = greatest > 0 ? std::max(harm[i] / greatest, kSmallestShare) : 1;
    layers.push_back(begin(plan, share, options.min_rank));
    budget += bits_of(plan, plan.rank);
    spent += bits_of(plan, layers.back().rank);
    weights += static_cast<double>(plan.d_in) * static_cast<double>(plan.d_out);
  }
  // Padding may make the plans take more than was asked for, or less: what was asked for may be
  // spent in any case.
  const double asked = std::min(weights * options.bits_per_weight, 1e18);
  budget.stored = std::max(budget.stored, static_cast<int64_t>(asked));
  Bits left = budget - spent;
  std::vector<bool> is_done(layers.size(), false);
  // Greedy: every layer begins at half its rank, and the move that takes away the most harm per bit
  // is made, as long as one fits. As the harm falls ever more slowly, a layer's gains become
  // smaller as its rank grows.
  while (true) {
    std::optional<Move> best;
    size_t of = 0;
    for (size_t i = 0; i < layers.size(); ++i) {
      if (is_done[i]) continue;
      const std::optional<Move> move = layers[i].best_move(left);
      is_done[i] = !move;  // `left` only falls
      if (move && (!best || move->gain > best->gain)) {
        best = move;
        of = i;
      }
    }
    if (!best) break;
    layers[of].rank = best->rank;
    left = left - best->bits;
  }
  std::vector<LayerPlan> result(plans.begin(), plans.end());
  for (size_t i = 0; i < layers.size(); ++i) {
    result[i].rank = layers[i].rank;
    // Still at the floor, or the cap, only if ranks were not moved away from it.
    result[i].at_floor = plans[i].at_floor && layers[i].rank <= plans[i].rank;
    result[i].at_cap = plans[i].at_cap && layers[i].rank >= plans[i].rank;
  }
  return result;
}

}  // namespace littlebit
