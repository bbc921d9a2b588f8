// The estimate of a run's memory against the tensors that are alive at the worst moment of a step,
// counted, for every kind of block.
#include "../../../src/train/memory_plan.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/distill/step.h"
#include "littlebit/distributed/planned_communicator.h"
#include "littlebit/models/architectures.h"
#include "littlebit/nn/attention_memory.h"
#include "littlebit/nn/autograd.h"
#include "littlebit/nn/functional.h"
#include "littlebit/nn/linear.h"
#include "littlebit/optim/optimizer.h"
#include "support/counted_memory.h"

namespace littlebit {
namespace {

// A teacher of random numbers; nothing of it is mapped but what the decoder keeps as stored.
Decoder random_teacher(const ModelSpec& spec, at::ScalarType dtype) {
  const c10::AutoGradMode no_grad(false);
  Decoder decoder = empty_decoder(spec, dtype, at::kCPU);
  const auto random = [&](std::vector<int64_t> shape) {
    return at::randn(shape).mul_(0.05).to(dtype);
  };
  FrozenTensors frozen;
  frozen.embedding = random({spec.vocab_size, spec.embedding_size});
  decoder.set_head(std::make_shared<DenseLinear>(
      spec.tied_embeddings ? frozen.embedding : random({spec.vocab_size, spec.embedding_size})));
  if (spec.learned_positions) {
    frozen.positions = random({spec.max_positions + spec.position_offset, spec.hidden_size});
  }
  decoder.set_frozen(std::move(frozen));
  decoder.visit_parameters(
      [](Parameter& parameter) { parameter.value = at::ones(parameter.size); });
  decoder.visit_linears([&](LinearSlot& slot) {
    slot.linear = std::make_unique<DenseLinear>(
        random({slot.d_out, slot.d_in}), slot.has_bias ? random({slot.d_out}) : at::Tensor());
  });
  return decoder;
}

struct Run {
  Json config;
  int64_t sequences = 8, length = 40;
  at::ScalarType dtype = at::kFloat;
  Recompute recompute = Recompute::kFull;
  double bits = 0.55;
  bool two_paths = true;
  BlockInputs inputs = BlockInputs::kFull;
  int64_t rank = 0, world = 1;  // of a process that is alone in this test
};

// What the estimate says, divided by what is alive at the worst moment.
double estimate_by_peak(const Run& run) {
  test::CountingAllocator& counter = test::CountingAllocator::instance();
  const ModelSpec spec = parse_model_spec(run.config);
  const int64_t before = counter.alive();
  const Decoder teacher = random_teacher(spec, run.dtype);
  // Where it is not the head, the embedding is mapped from the file in a run.
  int64_t mapped =
      spec.tied_embeddings ? 0 : static_cast<int64_t>(teacher.frozen().embedding.nbytes());
  if (spec.learned_positions) mapped += static_cast<int64_t>(teacher.frozen().positions.nbytes());
  RunOptions options;
  options.quant.bits_per_weight = run.bits;
  options.quant.residual = run.two_paths;
  options.train.micro_batch_size = run.sequences;
  options.train.global_batch_size = 2 * run.sequences * run.world;
  options.train.recompute = run.recompute;
  options.train.inputs.type = run.inputs;
  options.data.sequence_length = run.length;
  Decoder open = open_decoder(teacher);
  const std::vector<LayerPlan> plans = plan_model(open, options.quant);
  Student student(std::move(open), plans);
  PlannedCommunicator processes(run.rank, run.world);
  Optimizer optimizer(student, {}, Surrogate::kSmoothSign, processes);
  std::vector<GroupGradients> gradients = gradients_of(student);
  DistillationStep step(teacher, student, {}, run.recompute, options.train.inputs);
  const at::Tensor ids = at::randint(spec.vocab_size, {run.sequences, run.length}, at::kLong);
  step.accumulate(ids, run.sequences, gradients);
  optimizer.step(gradients, 1, 1e-6);
  counter.reset_peak();
  step.accumulate(ids, run.sequences, gradients);
  optimizer.step(gradients, 2, 1e-6);
  const int64_t peak = counter.peak() - before - mapped;

  Decoder shape = empty_decoder(spec, run.dtype, at::kCPU);
  double estimate = 0;
  for (const MemoryPart& part : memory_parts(shape, plans, options, at::kCPU, std::nullopt,
                                             {.rank = run.rank, .world = run.world})) {
    if (part.what != kBesideTensors) estimate += part.bytes;
  }
  return estimate / static_cast<double>(peak);
}

void check_close(const Run& run) {
  INFO(run.config.dump() << ", " << run.sequences << " x " << run.length << " in " << run.dtype
                         << (run.recompute == Recompute::kNone ? ", everything kept" : "")
                         << ", process " << run.rank << " of " << run.world);
  const double ratio = estimate_by_peak(run);
  CHECK(ratio > 0.9);
  CHECK(ratio < 1.1);
}

Json config_of(const std::string& type, Json more = Json::object()) {
  Json config = {{"model_type", type},       {"hidden_size", 128},
                 {"intermediate_size", 344}, {"num_hidden_layers", 3},
                 {"num_attention_heads", 4}, {"num_key_value_heads", 2},
                 {"vocab_size", 512},        {"max_position_embeddings", 2048},
                 {"rms_norm_eps", 1e-5},     {"hidden_act", "silu"},
                 {"rope_theta", 10000.0},    {"tie_word_embeddings", false}};
  config.update(more);
  return config;
}

Json opt_config(Json more = Json::object()) {
  Json config = {{"model_type", "opt"},
                 {"hidden_size", 128},
                 {"ffn_dim", 512},
                 {"num_hidden_layers", 3},
                 {"num_attention_heads", 4},
                 {"vocab_size", 512},
                 {"max_position_embeddings", 512},
                 {"word_embed_proj_dim", 128},
                 {"activation_function", "relu"}};
  config.update(more);
  return config;
}

}  // namespace

TEST_CASE("memory estimate: a Llama, its types, its schedules, attention of every length") {
  const Json llama = config_of("llama");
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Recompute recompute : {Recompute::kFull, Recompute::kNone}) {
      check_close({.config = llama, .dtype = dtype, .recompute = recompute});
    }
    check_close({.config = llama, .sequences = 4, .length = 256, .dtype = dtype});
  }
  check_close({.config = llama, .sequences = 1, .length = 1200});
  // Attention that outweighs the MLP; few heads of keys, whose sums are divided.
  const Json wide = config_of("llama", {{"num_attention_heads", 16},
                                        {"head_dim", 64},
                                        {"intermediate_size", 128},
                                        {"vocab_size", 64},
                                        {"num_hidden_layers", 1}});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    check_close({.config = wide, .sequences = 1, .length = 1200, .dtype = dtype});
    check_close({.config = wide, .sequences = 12, .length = 160, .dtype = dtype});
  }
  check_close({.config = llama, .bits = 1, .two_paths = false});
  const Json deep = config_of("llama", {{"num_hidden_layers", 16}});
  check_close({.config = deep, .inputs = BlockInputs::kBf16});
  check_close({.config = deep, .dtype = at::kBFloat16, .inputs = BlockInputs::kBf16});
  check_close({.config = config_of("llama", {{"attention_bias", true}, {"mlp_bias", true}})});
}

TEST_CASE("memory estimate: a large vocabulary, where logits are the worst, and a tied one") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    check_close({.config = config_of("llama", {{"vocab_size", 32768}}), .dtype = dtype});
    check_close(
        {.config = config_of("llama", {{"vocab_size", 8192}, {"tie_word_embeddings", true}}),
         .dtype = dtype,
         .recompute = Recompute::kNone});
  }
}

TEST_CASE("memory estimate: norms of heads and of branches, plain MLPs, norms behind the sums") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    check_close({.config = config_of("qwen3", {{"head_dim", 48}}), .dtype = dtype});
    check_close({.config = config_of("gemma2", {{"head_dim", 32},
                                                {"hidden_activation", "gelu_pytorch_tanh"},
                                                {"query_pre_attn_scalar", 32},
                                                {"attn_logit_softcapping", 50.0},
                                                {"final_logit_softcapping", 30.0},
                                                {"sliding_window", 64},
                                                {"tie_word_embeddings", true}}),
                 .sequences = 2,
                 .length = 256,
                 .dtype = dtype});
    check_close({.config = opt_config(), .dtype = dtype});
    check_close(
        {.config = opt_config({{"do_layer_norm_before", false}, {"word_embed_proj_dim", 64}}),
         .dtype = dtype});
  }
}

TEST_CASE("memory estimate: processes with slices of latents and moments, first and last") {
  // Bits at which latents are most of it.
  const Json llama = config_of("llama");
  for (const int64_t world : {2, 3, 8}) {
    for (const int64_t rank : {int64_t{0}, world - 1}) {
      check_close(
          {.config = llama, .sequences = 1, .length = 16, .bits = 3, .rank = rank, .world = world});
    }
  }
}

TEST_CASE("memory of attention: blocks and chunks, windows, soft caps, grouped heads, counted") {
  test::CountingAllocator& counter = test::CountingAllocator::instance();
  // Threads of a busy machine need not work at the same time.
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto check = [&](const AttentionShape& of) {
    INFO(of.sequences << " x " << of.length << ", " << of.heads << " heads on " << of.kv_heads
                      << " of " << of.head_dim << ", window " << of.window << ", soft cap "
                      << of.softcap << ", " << of.dtype);
    const auto leaf = [&](int64_t heads) {
      return at::randn({of.sequences, of.length, heads, of.head_dim})
          .to(of.dtype)
          .set_requires_grad(true);
    };
    // What autograd keeps of it lives on, the rest does not.
    const auto made = [](const at::Tensor& x) { return (x * 2).transpose(1, 2); };
    const at::Tensor q = leaf(of.heads), k = leaf(of.kv_heads), v = leaf(of.kv_heads);
    const int64_t before = counter.alive();
    const at::Tensor y = causal_attention(made(q), made(k), made(v), 0.3, of.window, of.softcap);
    const auto kept = static_cast<double>(counter.alive() - before);
    counter.reset_peak();
    {
      const at::Tensor dy = at::ones({of.sequences, of.length, of.heads, of.head_dim}, of.dtype);
      gradients({y}, {dy.transpose(1, 2)}, {q, k, v});
    }
    const double backward = static_cast<double>(counter.peak() - before) - kept;
    const AttentionMemory memory = attention_memory(of);
    CHECK(kept == Approx(memory.kept).epsilon(0.03));
    CHECK(backward + kept == Approx(memory.backward + memory.kept).epsilon(0.1));
  };
  for (const int64_t kv_heads : {6, 2}) {
    for (const int64_t sequences : {1, 3, 12}) {
      AttentionShape of{
          .sequences = sequences, .length = 300, .heads = 6, .kv_heads = kv_heads, .head_dim = 32};
      for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
        of.dtype = dtype;
        check(of);
      }
      // Here fp64 is what has no form in blocks, as soft caps have none on a GPU.
      of.dtype = at::kDouble;
      of.softcap = 5;
      for (const int64_t window : {0, 70, 400}) {
        of.window = window;
        check(of);
      }
    }
  }
  at::set_num_threads(threads);
}

TEST_CASE("memory of attention: on a GPU, by hand") {
  AttentionShape of{.sequences = 2,
                    .length = 256,
                    .heads = 8,
                    .kv_heads = 2,
                    .head_dim = 64,
                    .dtype = at::kBFloat16,
                    .device = at::Device(at::kCUDA, 0)};
  const double q = 2.0 * 2 * 256 * 8 * 64, k = q / 4, sums = 4.0 * 2 * 256 * 8;
  // Flash: dy, dq in both types, dk and dv, and these of each head of queries.
  for (const int64_t window : {0, 64}) {
    of.window = window;
    CHECK(attention_memory(of).kept == 2 * q + 2 * k + sums);
    CHECK(attention_memory(of).backward == 2 * q + 2 * q + 2 * k + sums + 2 * q);
  }
  // A head size that flash does not know, with a window: four chunks of 64 queries, which look at
  // 64 and three times 127 keys, repeated for four heads of queries each.
  of.head_dim = 256;
  const double wide = 4 * q, keys = 2.0 * 2 * 256 * 8 * (64 + 3 * 127);
  CHECK(attention_memory(of).kept == 2 * wide + sums + wide + 2 * keys);
  CHECK(attention_memory(of).backward == 2 * wide + 2 * wide / 4 + 2 * 2.0 * 2 * 256 * 8 * 127);
  of.kv_heads = 8;  // nothing to repeat
  CHECK(attention_memory(of).kept == 4 * wide + sums + wide);
  // fp32 in one call.
  of = {.sequences = 2,
        .length = 256,
        .heads = 8,
        .kv_heads = 2,
        .head_dim = 64,
        .device = of.device};
  CHECK(attention_memory(of).kept == 2 * 2 * q + sums + 2 * 2 * q);
}

namespace {

// What one process holds of a part, in bytes; `part` begins its name.
double part_of(const std::vector<MemoryPart>& parts, const std::string& part) {
  for (const MemoryPart& each : parts) {
    if (each.what.starts_with(part)) return each.bytes;
  }
  FAIL("no part " << part);
  return 0;
}

}  // namespace

TEST_CASE("memory estimate: what is divided, what is whole, what is on a GPU's host") {
  const ModelSpec spec = parse_model_spec(config_of("llama", {{"intermediate_size", 384}}));
  Decoder shape = empty_decoder(spec, at::kBFloat16, at::kCPU);
  RunOptions options;
  options.quant.bits_per_weight = 1;
  options.train.global_batch_size = 32;
  const std::vector<LayerPlan> plans = plan_model(shape, options.quant);
  const at::Device gpu(at::kCUDA, 0);
  const auto parts = [&](const ShardingChoice& choice, at::Device device) {
    return memory_parts(shape, plans, options, device, at::kBFloat16, choice);
  };
  double latents = 0, block = 0;
  for (const LayerPlan& plan : plans) latents += static_cast<double>(plan.latents());
  block = latents / 3;
  const ShardingChoice four{.world = 4};

  // All matrices are multiples of 128, all groups of 4 x 128: nothing is padding.
  CHECK(part_of(parts({}, gpu), "latents") == 12 * latents);
  CHECK(part_of(parts(four, gpu), "latents") == 3 * latents);
  CHECK(part_of(parts(four, gpu), "gradients of latents") == 4 * latents);
  CHECK(part_of(parts(four, gpu), "sign bits") == latents / 8);
  ShardingChoice streamed = four;
  streamed.reduce_per_microbatch = true;
  CHECK(part_of(parts(streamed, gpu), "gradients of latents") == latents + 8 * block);
  CHECK(part_of(parts(streamed, at::kCPU), "gradients of latents") == latents + 4 * block);
  // Sent in bf16, as a copy that is on its way while the next one is made.
  streamed.reduce_bytes = 2;
  CHECK(part_of(parts(streamed, gpu), "gradients of latents") == latents + 8 * block);
  options.train.global_batch_size = 16;  // one micro-batch in each process
  CHECK(part_of(parts(four, gpu), "gradients of latents") == latents + 8 * block);
  options.train.global_batch_size = 32;

  // Linear layers of a block, of which there are three: q, o; k, v; gate, up, down.
  const double linears = 2 * 128 * 128 + 2 * 64 * 128 + 3 * 384 * 128;
  ShardingChoice sharded = four;
  sharded.teacher_sharded = true;
  const double whole = part_of(parts(four, gpu), "teacher"), head = whole - 2 * 3 * linears;
  CHECK(part_of(parts(sharded, gpu), "teacher") == head + 2 * (0.75 + 2) * linears);
  // A host's processes divide it where there are several.
  sharded.per_host = 2;
  CHECK(part_of(parts(sharded, gpu), "teacher") == head + 2 * (1.5 + 2) * linears);
  CHECK(part_of(parts(sharded, gpu), "latents") == 3 * latents);
  sharded.per_host = 1;
  // On the CPU embedding, head and the blocks that are not divided are mapped.
  const double norms = 4 * (2 * 3 + 1) * 128;
  CHECK(part_of(parts(four, at::kCPU), "teacher") == norms);
  CHECK(part_of(parts(sharded, at::kCPU), "teacher") == norms + 2 * (0.75 + 1) * linears);

  // Streamed: two blocks on a GPU, and two of its host's; on the CPU one, where it is converted.
  ShardingChoice read = four;
  read.teacher_streamed = true;
  CHECK(part_of(parts(read, gpu), "teacher, and blocks") == head + 2 * 2 * linears);
  CHECK(part_of(parts(read, gpu), "teacher's blocks") == 2 * 2 * linears);
  CHECK(part_of(parts(read, at::kCPU), "teacher") == norms);
  const std::vector<MemoryPart> converted =
      memory_parts(shape, plans, options, at::kCPU, at::kFloat, read);
  CHECK(part_of(converted, "teacher") == 2 * linears + 2 * 512 * 128);

  // Block inputs, fp32, and differences, bf16, of four sequences: on a GPU's host but for those of
  // two blocks; of three blocks there are two differences.
  const double state = 4.0 * static_cast<double>(options.data.sequence_length) * 128;
  const double on_device = part_of(parts(four, gpu), "states");
  options.train.inputs.place = InputsPlace::kCpu;
  CHECK(part_of(parts(four, gpu), "states of blocks and") ==
        on_device - (3 * 4 + 2 * 2) * state + 2 * (4 + 2) * state);
  double away = 0;
  for (const MemoryPart& part : parts(four, gpu)) away += part.on_host ? part.bytes : 0;
  CHECK(away == (3 * 4 + 2 * 2) * state);
  // In two micro-batches: all of them there, those of one block back.
  const HostCopies copies = host_copies(shape, plans, options, gpu, four);
  CHECK(copies.to_host == 2 * away);
  CHECK(copies.to_device == 2 * (4 + 2) * state);
  CHECK(host_copies(shape, plans, options, gpu, read).to_device ==
        2 * (6 * state + 3 * 2 * linears));
  CHECK(host_copies(shape, plans, options, at::kCPU, read).to_device == 0);
  // State on the host: gradients of this process's latents go there, sign bits come back.
  ShardingChoice apart = four;
  apart.state_on_host = true;
  const HostCopies more = host_copies(shape, plans, options, gpu, apart);
  CHECK(more.to_host - copies.to_host == 32 * (more.to_device - copies.to_device));
  CHECK(more.to_host > copies.to_host);
  CHECK(device_bytes(parts(four, at::kCPU)) ==
        device_bytes(memory_parts(shape, plans, options, at::kCPU, at::kBFloat16, four)));
  options.train.inputs = {.type = BlockInputs::kBf16};
  CHECK(part_of(parts(four, gpu), "states of blocks and") < on_device);
  options.train.inputs = {};

  ShardingChoice saving = four;
  saving.async_checkpoint = true;
  const double vectors = part_of(parts(four, gpu), "scales") / 16;
  for (const int64_t rank : {0, 1}) {
    saving.rank = rank;
    const std::vector<MemoryPart> on_gpu = parts(saving, gpu), on_cpu = parts(saving, at::kCPU);
    const double copy = 3 * latents + (rank == 0 ? 12 * vectors : 0);
    CHECK(part_of(on_gpu, "checkpoint") == copy);
    CHECK(device_bytes(on_gpu) == device_bytes(parts(four, gpu)));
    CHECK(device_bytes(on_cpu) > device_bytes(parts(four, at::kCPU)) + copy);
  }
}

TEST_CASE("memory estimate: moments in fewer bits, and state in the host's memory") {
  const ModelSpec spec = parse_model_spec(config_of("llama", {{"intermediate_size", 384}}));
  Decoder shape = empty_decoder(spec, at::kBFloat16, at::kCPU);
  RunOptions options;
  options.quant.bits_per_weight = 1;
  options.train.global_batch_size = 32;
  const std::vector<LayerPlan> plans = plan_model(shape, options.quant);
  double latents = 0;
  for (const LayerPlan& plan : plans) latents += static_cast<double>(plan.latents());
  const at::Device gpu(at::kCUDA, 0);
  const auto parts = [&](at::Device device) {
    return memory_parts(shape, plans, options, device, at::kBFloat16, sharding_of(options, 1));
  };
  options.checkpoint.async = false;
  const double all = device_bytes(parts(gpu));
  CHECK(host_bytes(parts(gpu)) == 0);
  for (const auto& [moments, bytes] : {std::pair{MomentType::kFp32, 12.0},
                                       {MomentType::kBf16, 8.0},
                                       {MomentType::kInt8, 6.0625}}) {
    options.optim.moments = moments;
    options.optim.state_device = StateDevice::kAuto;
    CHECK(part_of(parts(gpu), "latents") == bytes * latents);
    options.optim.state_device = StateDevice::kCpu;
    // Latents, moments, copies of gradients and bits; of the device's a fiftieth goes beside them.
    CHECK(host_bytes(parts(gpu)) == (bytes + 4.125) * latents);
    CHECK(device_bytes(parts(gpu)) == Approx(all - 1.02 * 12 * latents));
    CHECK(part_of(parts(gpu), "gradients of latents") == 4 * latents);
    // On a CPU there is one place.
    CHECK(host_bytes(parts(at::kCPU)) == 0);
    CHECK(part_of(parts(at::kCPU), "latents") == bytes * latents);
  }
  // With one micro-batch a step gradients leave group by group.
  options.train.global_batch_size = options.train.micro_batch_size;
  CHECK(part_of(parts(gpu), "gradients of latents") == 8 * latents / 3);
}

TEST_CASE("memory estimate: as many processes on a host as can be, up to 8") {
  const std::pair<int64_t, int64_t> want[] = {{1, 1}, {4, 4}, {8, 8}, {12, 6}, {13, 1}, {512, 8}};
  for (const auto& [world, per_host] : want) {
    INFO(world);
    CHECK(sharding_of({}, world).per_host == per_host);
    CHECK(sharding_of({}, world).teacher_parts() == (per_host > 1 ? per_host : world));
  }
  CHECK(sharding_of({}, 16, 4).teacher_parts() == 4);
  CHECK(sharding_of({}, 16, 1).teacher_parts() == 16);
  RunOptions spread;
  spread.train.teacher = TeacherPlacement::kSpread;
  CHECK(sharding_of(spread, 16, 4).teacher_sharded);
  CHECK(sharding_of(spread, 16, 4).teacher_parts() == 16);
}

}  // namespace littlebit
