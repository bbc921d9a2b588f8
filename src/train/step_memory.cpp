// What is alive at the two worst moments of a step: when a chunk of logits is compared, and in the
// backward pass of a block, when the gradients of its MLP's activation exist beside all that
// autograd keeps. Every number here is one tensor of src/distill/step.cpp, src/models or src/nn;
// tests/unit/train/memory_plan_test.cpp counts them.
#include "step_memory.h"

#include <cmath>

#include "littlebit/device/device.h"
#include "littlebit/distill/kl_divergence.h"
#include "littlebit/nn/attention_memory.h"
#include "littlebit/ops/product.h"
#include "sharding.h"

namespace littlebit {
namespace {

// Bytes per token of one block: what autograd keeps between forward and backward, and what exists
// beside it when the backward pass is in the MLP's activation or in attention. The block's input
// and output are not counted.
struct TapeSizes {
  double attention = 0, mlp = 0, mlp_backward = 0, attention_backward = 0;
  double kept() const { return attention + mlp; }
  double at_worst() const { return attention + std::max(mlp_backward, attention_backward); }
};

TapeSizes block_tape(const StepShape& shape, int64_t layer, double last_at_worst) {
  const ModelSpec& spec = shape.spec;
  const double c = shape.compute, hidden = shape.hidden, inner = shape.inner;
  TapeSizes tape;
  // What q, k and v read. Of a norm autograd keeps what it was of, which is kept anyway, or not.
  tape.attention = spec.norm_first ? c * hidden : shape.copy(hidden);
  if (spec.qk_norm) tape.attention += c * (shape.queries + shape.keys);
  const AttentionMemory attention =
      attention_memory({.sequences = std::llround(shape.tokens / shape.length),
                        .length = std::llround(shape.length),
                        .heads = spec.num_heads,
                        .kv_heads = spec.num_kv_heads,
                        .head_dim = spec.head_dim,
                        .window = spec.layer_window(layer),
                        .softcap = spec.attention_softcap,
                        .dtype = shape.dtype,
                        .device = shape.device});
  tape.attention += attention.kept / shape.tokens;
  if (spec.sandwich_norms) tape.attention += kWideBytes * hidden;
  tape.attention_backward = attention.backward / shape.tokens;

  // The sum with the residual stream, what the MLP reads of it, gate, up, what is made of them.
  const double read =
      spec.norm_first ? (kWideBytes + c) * hidden : 2 * kWideBytes * hidden + shape.copy(hidden);
  const bool keeps_input = spec.activation != Activation::kRelu;
  // One operation makes a gated activation, but for GeLU by the error function.
  const bool in_one = spec.activation != Activation::kGelu;
  const double inners = spec.gated_mlp ? (in_one ? 3 : 4) : keeps_input ? 2 : 1;
  tape.mlp = read + c * inner * inners;
  if (spec.sandwich_norms) tape.mlp += kWideBytes * hidden;
  // The product of gate and up is gone, its gradient and those of both are there.
  tape.mlp_backward = read + c * inner * (spec.gated_mlp ? (in_one ? 5 : 6) : 3);
  // Before that, between the factors of the last layer.
  tape.mlp_backward = std::max(tape.mlp_backward, read + c * inner * inners + c * last_at_worst);
  if (!spec.norm_first) {  // the sum that the last norm read; its gradient
    tape.mlp += kWideBytes * hidden;
    tape.mlp_backward += kWideBytes * hidden;
  }
  return tape;
}

// What stands between forward and backward of `group`'s layers.
struct GroupSizes {
  double weights = 0;  // expanded: W1 and W2 of each layer
  double latent = 0;   // per token, numbers between W1 and W2 that are kept
  double last = 0;     // of the last layer's weights, whose gradients are made first
  double last_latent = 0;
  double last_at_worst = 0;  // per token, there in the backward between its W1 and W2
};

GroupSizes group_sizes(Decoder& decoder, const StepShape& shape, std::span<const LayerPlan> plans,
                       int64_t group, size_t* next) {
  GroupSizes sizes;
  decoder.visit_linears(group, [&](LinearSlot&) {
    const LayerPlan& plan = plans[(*next)++];
    sizes.last = static_cast<double>(plan.latents());
    const auto width = static_cast<double>(plan.paths * plan.rank);
    // Before the scale, and after it; of the latter signs' backward makes another, and a gradient.
    sizes.last_latent = (shape.has_signs() ? 1 : 2) * width;
    sizes.last_at_worst = (shape.has_signs() ? 3 : 4) * width;
    sizes.weights += sizes.last;
    sizes.latent += sizes.last_latent;
  });
  return sizes;
}

// The backward pass of a block, without states and what other blocks keep.
StepMoment block_backward(const StepShape& shape, const GroupSizes& group, const TapeSizes& tape) {
  const double c = shape.compute;
  return {.weights = shape.weight() * group.weights + c * group.last,
          .work = shape.tokens * (tape.at_worst() + c * (group.latent - group.last_latent)),
          .what = "activations and gradients of a block"};
}

// In bf16 logits have fp32 sums, for which a CPU without tiles widens what it multiplies.
double widened_head(const StepShape& shape, double rows) {
  if (shape.dtype != at::kBFloat16 || !device_traits(shape.device).is_host ||
      has_fast_mixed_products(shape.device)) {
    return 0;
  }
  const ModelSpec& spec = shape.spec;
  const int64_t pieces =
      chunked_matmul_numbers(static_cast<int64_t>(rows), spec.vocab_size, spec.embedding_size);
  return kWideBytes * (rows * shape.embedding + static_cast<double>(pieces));
}

}  // namespace

bool StepShape::has_signs() const { return is_wide() && has_fast_mixed_products(device); }

StepShape step_shape(const Decoder& decoder, const RunOptions& options, at::Device device,
                     int64_t world) {
  const ModelSpec& spec = decoder.spec();
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const double length = number(options.data.sequence_length);
  const int64_t sequences = sequences_at_once(options, world);
  return {.spec = spec,
          .dtype = decoder.compute_dtype(),
          .compute = number(static_cast<int64_t>(c10::elementSize(decoder.compute_dtype()))),
          .tokens = number(sequences) * length,
          .length = length,
          .hidden = number(spec.hidden_size),
          .embedding = number(spec.embedding_size),
          .inner = number(spec.intermediate_size),
          .queries = number(spec.num_heads * spec.head_dim),
          .keys = number(spec.num_kv_heads * spec.head_dim),
          .device = device};
}

WaitingStates waiting_states(const StepShape& shape, const RunOptions& options) {
  constexpr double kNarrow = 2;
  const KeptInputs& kept = options.train.inputs;
  const bool is_narrow = kept.type == BlockInputs::kBf16;
  const double numbers = shape.tokens * shape.hidden;
  return {.inputs = (is_narrow ? kNarrow : kWideBytes) * numbers,
          .differences = (is_narrow ? kNarrow : shape.compute) * numbers,
          .is_away = kept.place == InputsPlace::kCpu && !device_traits(shape.device).is_host};
}

StepMoment worst_moment(Decoder& decoder, const StepShape& shape, std::span<const LayerPlan> plans,
                        const RunOptions& options) {
  const ModelSpec& spec = shape.spec;
  const double c = shape.compute, state = kWideBytes * shape.tokens * shape.hidden;
  const bool keep_all = options.train.recompute == Recompute::kNone;
  const WaitingStates waiting = waiting_states(shape, options);
  const bool is_narrow = options.train.inputs.type == BlockInputs::kBf16;
  size_t next = 0;
  group_sizes(decoder, shape, plans, 0, &next);
  // While logits are compared: the student's last hidden state (the teacher's, where nothing
  // follows it), what the head reads in both models, dz. All are gone before the blocks' backward.
  const bool same = !spec.final_norm && spec.embedding_size == spec.hidden_size;
  const double z = kWideBytes * shape.tokens * shape.embedding;
  const double ends = same ? 2 * state + z : state + 3 * z;
  double kept = 0, kept_weights = 0;  // of the blocks so far
  StepMoment worst;
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    const GroupSizes group = group_sizes(decoder, shape, plans, layer + 1, &next);
    const TapeSizes tape = block_tape(shape, layer, group.last_at_worst);
    const double blocks = static_cast<double>(layer + 1);
    StepMoment backward = block_backward(shape, group, tape);
    // Inputs and differences, the gradient that comes in, the block's output, its input as it was.
    backward.states = waiting.on_device(blocks) + (keep_all ? 1 : is_narrow ? 3 : 2) * state;
    backward.weights += kept_weights;
    backward.work += kept;
    if (backward.total() > worst.total()) worst = backward;
    if (!keep_all) continue;
    kept += shape.tokens * (tape.kept() + c * group.latent);
    kept_weights += shape.weight() * group.weights;
  }
  const double layers = static_cast<double>(spec.num_layers);
  const double rows = std::min(static_cast<double>(head_rows(spec.vocab_size)), shape.tokens);
  StepMoment loss{.what = "logits of a chunk"};
  loss.states = waiting.on_device(layers) + ends;
  loss.weights = kept_weights;
  loss.work = kept + 2 * kWideBytes * rows * static_cast<double>(spec.vocab_size) +
              widened_head(shape, rows);
  return loss.total() > worst.total() ? loss : worst;
}

StepMoment worst_block_moment(Decoder& decoder, const StepShape& shape,
                              std::span<const LayerPlan> plans, double states) {
  StepMoment worst;
  size_t next = 0;
  group_sizes(decoder, shape, plans, 0, &next);
  for (int64_t layer = 0; layer < shape.spec.num_layers; ++layer) {
    const GroupSizes group = group_sizes(decoder, shape, plans, layer + 1, &next);
    const TapeSizes tape = block_tape(shape, layer, group.last_at_worst);
    StepMoment backward = block_backward(shape, group, tape);
    backward.states = states;
    if (backward.total() > worst.total()) worst = backward;
  }
  return worst;
}

}  // namespace littlebit
