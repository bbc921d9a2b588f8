// Closed formulas of what src/optim/optimizer.cpp and src/train/trainer.cpp send;
// tests/unit/train/traffic_plan_test.cpp compares them with a step that is counted.
#include "traffic_plan.h"

namespace littlebit {
namespace {

// Of one of `world` processes: what a ring passes on `times`.
double sent_of(double payload, int64_t world, double times) {
  return payload * static_cast<double>(world - 1) / static_cast<double>(world) * times;
}

}  // namespace

std::vector<TrafficPart> traffic_parts(Decoder& decoder, std::span<const LayerPlan> plans,
                                       const RunOptions& options, const ShardingChoice& choice) {
  if (choice.world == 1) return {};
  const auto passes = static_cast<double>(micro_batches(options, choice.world));
  const double sums = reduces_in_backward(options, choice) ? passes : 1;
  TrafficPart gradients{"gradients of latents", "reduce_scatter_sum"},
      vectors{"gradients of scales, biases, norms", "all_reduce_sum"},
      bits{"sign bits", "all_gather"}, blocks{"teacher's blocks", "all_gather"},
      numbers{"numbers of the step", "all_reduce_sum"};
  for (const GroupLayout& layout : group_layouts(decoder, plans)) {
    if (layout.is_empty()) continue;
    gradients.calls += sums;
    gradients.payload += sums * static_cast<double>(choice.reduce_bytes * layout.num_latents);
    vectors.payload += 4 * static_cast<double>(layout.num_vectors);
    bits.calls += 1;
    bits.payload += static_cast<double>(layout.num_latents / 8);
  }
  vectors.calls = 1;
  gradients.sent = sent_of(gradients.payload, choice.world, 1);
  vectors.sent = sent_of(vectors.payload, choice.world, 2);
  bits.sent = sent_of(bits.payload, choice.world, 1);
  // KL, hidden loss, norm, flips and the like, each 8 bytes.
  numbers.calls = 2;  // before the update and behind it
  numbers.payload = 7 * 8;
  numbers.sent = sent_of(numbers.payload, choice.world, 2);
  std::vector<TrafficPart> parts = {gradients, vectors, bits, numbers};
  if (choice.teacher_sharded) {
    const auto bytes = static_cast<double>(c10::elementSize(decoder.compute_dtype()));
    for (const double block : teacher_blocks(decoder)) {
      blocks.calls += passes;
      blocks.payload += passes * bytes * block;
    }
    blocks.sent = sent_of(blocks.payload, choice.teacher_parts(), 1);
    parts.push_back(blocks);
  }
  return parts;
}

}  // namespace littlebit
