// The estimate of a run's memory against the tensors that are alive at the worst moment of a step,
// counted, for every kind of block.
#include "../../../src/train/memory_plan.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/distill/step.h"
#include "littlebit/nn/linear.h"
#include "littlebit/optim/optimizer.h"
#include "support/counted_memory.h"

namespace littlebit {
namespace {

// A teacher of random numbers; nothing of it is mapped but what the decoder keeps as stored.
Decoder random_teacher(const ModelSpec& spec, at::ScalarType dtype) {
  const c10::AutoGradMode no_grad(false);
  Decoder decoder(spec, dtype, at::kCPU);
  const auto random = [&](std::vector<int64_t> shape) {
    return at::randn(shape).mul_(0.05).to(dtype);
  };
  FrozenTensors& frozen = decoder.frozen;
  frozen.embedding = random({spec.vocab_size, spec.embedding_size});
  frozen.head =
      spec.tied_embeddings ? frozen.embedding : random({spec.vocab_size, spec.embedding_size});
  if (spec.learned_positions) {
    frozen.positions = random({spec.max_positions + spec.position_offset, spec.hidden_size});
  }
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
};

// What the estimate says, divided by what is alive at the worst moment.
double estimate_by_peak(const Run& run) {
  test::CountingAllocator& counter = test::CountingAllocator::instance();
  const ModelSpec spec = parse_model_spec(run.config);
  const int64_t before = counter.alive();
  const Decoder teacher = random_teacher(spec, run.dtype);
  // Where it is not the head, the embedding is mapped from the file in a run.
  int64_t mapped =
      spec.tied_embeddings ? 0 : static_cast<int64_t>(teacher.frozen.embedding.nbytes());
  if (spec.learned_positions) mapped += static_cast<int64_t>(teacher.frozen.positions.nbytes());
  RunOptions options;
  options.quant.bits_per_weight = run.bits;
  options.quant.residual = run.two_paths;
  options.train.micro_batch_size = run.sequences;
  options.train.recompute = run.recompute;
  options.data.sequence_length = run.length;
  Decoder open = open_decoder(teacher);
  const std::vector<LayerPlan> plans = plan_model(open, options.quant);
  Student student(std::move(open), plans);
  Optimizer optimizer(student, {}, Surrogate::kSmoothSign);
  std::vector<GroupGradients> gradients = gradients_of(student);
  DistillationStep step(teacher, student, {}, run.recompute);
  const at::Tensor ids = at::randint(spec.vocab_size, {run.sequences, run.length}, at::kLong);
  step.accumulate(ids, run.sequences, gradients);
  optimizer.step(gradients, 1, 1e-6);
  counter.reset_peak();
  step.accumulate(ids, run.sequences, gradients);
  optimizer.step(gradients, 2, 1e-6);
  const int64_t peak = counter.peak() - before - mapped;

  Decoder shape(spec, run.dtype, at::kCPU);
  double estimate = 0;
  for (const MemoryPart& part : memory_parts(shape, plans, options, at::kCPU, std::nullopt)) {
    if (part.what != kBesideTensors) estimate += part.bytes;
  }
  return estimate / static_cast<double>(peak);
}

void check_close(const Run& run) {
  INFO(run.config.dump() << ", " << run.sequences << " x " << run.length << " in " << run.dtype
                         << (run.recompute == Recompute::kNone ? ", everything kept" : ""));
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
  check_close({.config = llama, .bits = 1, .two_paths = false});
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

}  // namespace littlebit
