// The layouts of a student that does not exist, and how often its processes meet.
#include "sharding.h"

#include <algorithm>

#include "littlebit/device/device.h"
#include "littlebit/models/load.h"

namespace littlebit {

bool shards_teacher(TeacherPlacement asked, at::Device device, int64_t world, double block_bytes,
                    double free_bytes) {
  if (asked != TeacherPlacement::kAuto) {
    return asked == TeacherPlacement::kSharded || asked == TeacherPlacement::kSpread;
  }
  // On the host the system holds mapped weights once for all processes.
  constexpr double kMaxOfFree = 1.0 / 3;
  return world > 1 && !device_traits(device).is_host && block_bytes > kMaxOfFree * free_bytes;
}

bool streams_on_host(at::ScalarType stored, at::ScalarType compute, int64_t tokens) {
  if (weight_dtype(stored, compute, at::Device(at::kCPU)) == stored) return false;  // as it lies
  // Converting takes what products of some ten tokens take (docs/benchmarks.md).
  constexpr int64_t kFewTokens = 512;
  return stored != compute && tokens >= kFewTokens;
}

ShardingChoice sharding_of(const RunOptions& options, int64_t world, int64_t per_host) {
  if (per_host == 0) {
    // For estimates of runs that are not started yet: hosts of up to 8 processes, all with as many.
    constexpr int64_t kMaxOnHost = 8;
    per_host = std::min(world, kMaxOnHost);
    while (world % per_host != 0) --per_host;
  }
  const ReduceOptions& reduce = options.train.reduce;
  return {.world = world,
          .per_host = per_host,
          .teacher_sharded = world > 1 && (options.train.teacher == TeacherPlacement::kSharded ||
                                           options.train.teacher == TeacherPlacement::kSpread),
          .teacher_spread = options.train.teacher == TeacherPlacement::kSpread,
          .teacher_streamed = options.train.teacher == TeacherPlacement::kStreamed,
          .reduce_per_microbatch = reduce.when == GradientReduce::kMicrobatch ||
                                   (reduce.when == GradientReduce::kAuto && world > 1),
          .reduce_bytes = reduce.dtype == FloatKind::kBf16 && world > 1 ? 2 : 4,
          .state_on_host = options.optim.state_device == StateDevice::kCpu,
          .async_checkpoint = options.checkpoint.async};
}

int64_t sequences_at_once(const RunOptions& options, int64_t world) {
  const int64_t mine = std::max<int64_t>(1, options.train.sequences_per_step() / world);
  return std::min(options.train.micro_batch_size, mine);
}

int64_t micro_batches(const RunOptions& options, int64_t world) {
  const int64_t mine = std::max<int64_t>(1, options.train.sequences_per_step() / world);
  const int64_t each = options.train.micro_batch_size;
  return (mine + each - 1) / each;
}

// The rule of optim/gradient_reducer.cpp, for estimates without a reducer.
bool reduces_in_backward(const RunOptions& options, const ShardingChoice& choice) {
  return choice.reduce_per_microbatch ||
         ((choice.world > 1 || choice.state_on_host) && micro_batches(options, choice.world) == 1);
}

std::vector<GroupLayout> group_layouts(Decoder& decoder, std::span<const LayerPlan> plans) {
  std::vector<GroupLayout> layouts;
  size_t next = 0;
  for (int64_t group = 0; group < decoder.spec().num_layers + 2; ++group) {
    std::vector<bool> has_bias;
    std::vector<NamedShape> parameters;
    decoder.visit_linears(group, [&](LinearSlot& slot) { has_bias.push_back(slot.has_bias); });
    decoder.visit_parameters(group, [&](Parameter& parameter) {
      parameters.push_back({parameter.name, {parameter.size}});
    });
    layouts.push_back(lay_out_group(plans.subspan(next, has_bias.size()), has_bias, parameters));
    next += has_bias.size();
  }
  return layouts;
}

std::vector<double> teacher_blocks(Decoder& decoder) {
  std::vector<double> blocks;
  for (int64_t layer = 0; layer < decoder.spec().num_layers; ++layer) {
    double numbers = 0;
    decoder.visit_linears(layer + 1, [&](LinearSlot& slot) {
      numbers += static_cast<double>(slot.d_out) *
                 (static_cast<double>(slot.d_in) + (slot.has_bias ? 1 : 0));
    });
    blocks.push_back(numbers);
  }
  return blocks;
}

double teacher_block_bytes(Decoder& decoder) {
  double numbers = 0;
  for (const double block : teacher_blocks(decoder)) numbers += block;
  return numbers * static_cast<double>(c10::elementSize(decoder.compute_dtype()));
}

}  // namespace littlebit
