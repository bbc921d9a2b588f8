// The traffic that is estimated against the operations of a step, counted by a process of a world
// that is not there.
#include "../../../src/train/traffic_plan.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "littlebit/distill/step.h"
#include "littlebit/distributed/planned_communicator.h"
#include "littlebit/models/architectures.h"
#include "littlebit/optim/optimizer.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

namespace littlebit {
namespace {

constexpr double kRounding = 8;  // bytes

// By operation, without the numbers of a step.
struct Sent {
  double calls = 0, payload = 0, sent = 0;
};
std::map<std::string, Sent> by_operation(const std::vector<TrafficPart>& parts) {
  std::map<std::string, Sent> sums;
  for (const TrafficPart& part : parts) {
    if (part.what == "numbers of the step") continue;
    Sent& sum = sums[part.operation];
    sum.calls += part.calls;
    sum.payload += part.payload;
    sum.sent += part.sent;
  }
  return sums;
}

}  // namespace

TEST_CASE("traffic estimate: the bytes of a step that is counted, by operation") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.biases = true, .hidden = 64, .intermediate = 88});
  const test::LoadedModel teacher(temp.path(), at::kFloat);
  RunOptions options;
  options.quant.bits_per_weight = 1;
  for (const int64_t world : {2, 3, 8}) {
    options.train.micro_batch_size = 2;
    options.train.global_batch_size = 4 * world;
    for (const int64_t rank : {int64_t{0}, world - 1}) {
      INFO("process " << rank << " of " << world);
      Decoder open = open_decoder(teacher.decoder);
      const std::vector<LayerPlan> plans = plan_model(open, options.quant);
      Student student(std::move(open), plans);
      PlannedCommunicator processes(rank, world);
      Optimizer optimizer(student, {}, Surrogate::kSmoothSign, processes);
      std::vector<GroupGradients> gradients = gradients_of(student);
      DistillationStep step(teacher.decoder, student, {}, Recompute::kFull);
      const at::Tensor ids = at::randint(48, {2, 8}, at::kLong);
      for (int i = 0; i < 2; ++i) step.accumulate(ids, 4 * world, gradients);
      optimizer.step(gradients, 1, 1e-3);

      Decoder shape = empty_decoder(teacher.decoder.spec(), at::kFloat, at::kCPU);
      std::map<std::string, Sent> planned =
          by_operation(traffic_parts(shape, plans, options, {.rank = rank, .world = world}));
      for (const char* operation : {"reduce_scatter_sum", "all_gather", "all_reduce_sum"}) {
        INFO(operation);
        const Traffic& counted = processes.traffic().at(operation);
        // A norm, a number of flips and their like are no traffic.
        const double numbers = std::string(operation) == "all_reduce_sum" ? 256 : 0;
        const double more = static_cast<double>(counted.payload) - planned[operation].payload;
        CHECK(more >= 0);
        CHECK(more <= numbers);
        // Each call's bytes were rounded to whole ones, of each group.
        CHECK(static_cast<double>(counted.sent) >= planned[operation].sent - kRounding);
        CHECK(static_cast<double>(counted.sent) <=
              planned[operation].sent + kRounding + 2 * numbers);
      }
    }
  }
}

TEST_CASE("traffic estimate: sums after every micro-batch, in bf16; blocks of a teacher") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.hidden = 64, .intermediate = 88, .layers = 3});
  const test::LoadedModel teacher(temp.path(), at::kBFloat16);
  Decoder shape = empty_decoder(teacher.decoder.spec(), at::kBFloat16, at::kCPU);
  RunOptions options;
  options.quant.bits_per_weight = 1;
  options.train.micro_batch_size = 2;
  options.train.global_batch_size = 8 * 6;  // 3 micro-batches, the last of them whole
  const std::vector<LayerPlan> plans = plan_model(shape, options.quant);
  const ShardingChoice choice{.rank = 5,
                              .world = 8,
                              .teacher_sharded = true,
                              .reduce_per_microbatch = true,
                              .reduce_bytes = 2};
  PlannedCommunicator sums_of(5, 8), blocks_of(5, 8);
  const auto nowhere = at::TensorOptions().dtype(at::kBFloat16).device(at::kMeta);
  const std::vector<GroupLayout> layouts = group_layouts(shape, plans);
  for (int64_t pass = 0; pass < 3; ++pass) {
    for (const GroupLayout& layout : layouts) {
      if (layout.is_empty()) continue;
      const Slice slice = slice_of(layout, 5, 8);
      sums_of.reduce_scatter_sum(at::empty({layout.num_latents}, nowhere), slice.begin, slice.end);
    }
    for (int64_t layer = 0; layer < 3; ++layer) {
      const int64_t numbers = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 88 * 64;
      blocks_of.all_gather(at::empty({numbers}, nowhere), numbers / 8 * 5, numbers / 8 * 6);
    }
  }
  double sums = 0, blocks = 0;
  for (const TrafficPart& part : traffic_parts(shape, plans, options, choice)) {
    if (part.what == "gradients of latents") sums = part.sent;
    if (part.what == "teacher's blocks") blocks = part.sent;
  }
  CHECK(sums == Approx(static_cast<double>(sums_of.bytes_sent())).margin(10));
  CHECK(blocks == Approx(static_cast<double>(blocks_of.bytes_sent())).margin(10));

  // Of 4 processes on each host a process gathers from 3 others.
  ShardingChoice hosts = choice;
  hosts.per_host = 4;
  for (const TrafficPart& part : traffic_parts(shape, plans, options, hosts)) {
    if (part.what == "teacher's blocks") CHECK(part.sent == Approx(blocks / 7 * 8 / 4 * 3));
    if (part.what == "gradients of latents") CHECK(part.sent == sums);
  }
}

TEST_CASE("traffic estimate: one process sends nothing") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path());
  const test::LoadedModel teacher(temp.path(), at::kFloat);
  Decoder shape = empty_decoder(teacher.decoder.spec(), at::kFloat, at::kCPU);
  RunOptions options;
  options.quant.bits_per_weight = 4;
  CHECK(traffic_parts(shape, plan_model(shape, options.quant), options, {}).empty());
}

}  // namespace littlebit
