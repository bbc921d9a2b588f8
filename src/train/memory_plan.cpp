// What is alive at the two worst moments of a step: when a chunk of logits is compared, and in the
// backward pass of a block, when the gradients of its MLP's activation exist beside all that
// autograd keeps. Every number here is one tensor of src/distill/step.cpp, src/models or src/nn;
// tests/unit/train/memory_plan_test.cpp counts them.
#include "memory_plan.h"

#include <algorithm>
#include <cmath>

#include "littlebit/core/error.h"
#include "littlebit/device/device.h"
#include "littlebit/distill/kl_divergence.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/attention_memory.h"
#include "littlebit/ops/product.h"

namespace littlebit {
namespace {

constexpr double kWide = 4;  // bytes of the residual stream, of vectors, latents and logits

// Numbers of a model outside its linear layers, and their biases.
struct Shape {
  const ModelSpec& spec;
  at::ScalarType dtype;             // to compute in
  double compute;                   // bytes of it
  double tokens, length;            // of a micro-batch, of a sequence
  double hidden, embedding, inner;  // widths of the residual stream, of z, inside the MLP
  double queries, keys;             // widths of all heads of q, of k
  at::Device device;

  bool is_wide() const { return compute == kWide; }
  // Layers multiply signs as they are (quant/littlebit_linear.h).
  bool has_signs() const { return is_wide() && has_fast_mixed_products(device); }
  double weight() const { return has_signs() ? 2 : compute; }  // bytes of an expanded one
  // Of a copy in the compute dtype, which in fp32 is the tensor itself.
  double copy(double numbers) const { return is_wide() ? 0 : compute * numbers; }
};

Shape shape_of(const Decoder& decoder, const RunOptions& options, at::Device device,
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

// Bytes per token of one block: what autograd keeps between forward and backward, and what exists
// beside it when the backward pass is in the MLP's activation or in attention. The block's input
// and output are not counted.
struct BlockTape {
  double attention = 0, mlp = 0, mlp_backward = 0, attention_backward = 0;
  double kept() const { return attention + mlp; }
  double at_worst() const { return attention + std::max(mlp_backward, attention_backward); }
};

BlockTape block_tape(const Shape& shape, int64_t layer, double last_at_worst) {
  const ModelSpec& spec = shape.spec;
  const double c = shape.compute, hidden = shape.hidden, inner = shape.inner;
  BlockTape tape;
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
  if (spec.sandwich_norms) tape.attention += kWide * hidden;
  tape.attention_backward = attention.backward / shape.tokens;

  // The sum with the residual stream, what the MLP reads of it, gate, up, what is made of them.
  const double read =
      spec.norm_first ? (kWide + c) * hidden : 2 * kWide * hidden + shape.copy(hidden);
  const bool keeps_input = spec.activation != Activation::kRelu;
  // One operation makes a gated activation, but for GeLU by the error function.
  const bool in_one = spec.activation != Activation::kGelu;
  const double inners = spec.gated_mlp ? (in_one ? 3 : 4) : keeps_input ? 2 : 1;
  tape.mlp = read + c * inner * inners;
  if (spec.sandwich_norms) tape.mlp += kWide * hidden;
  // The product of gate and up is gone, its gradient and those of both are there.
  tape.mlp_backward = read + c * inner * (spec.gated_mlp ? (in_one ? 5 : 6) : 3);
  // Before that, between the factors of the last layer.
  tape.mlp_backward = std::max(tape.mlp_backward, read + c * inner * inners + c * last_at_worst);
  if (!spec.norm_first) {  // the sum that the last norm read; its gradient
    tape.mlp += kWide * hidden;
    tape.mlp_backward += kWide * hidden;
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

GroupSizes group_sizes(Decoder& decoder, const Shape& shape, std::span<const LayerPlan> plans,
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

// Three parts that are alive at one moment.
struct Moment {
  double states = 0;  // of blocks and tail
  double weights = 0;
  double work = 0;
  const char* what = "";
  double total() const { return states + weights + work; }
};

// States that wait for the backward pass of so many blocks: inputs, and differences of the outputs
// of all but the last.
struct WaitingStates {
  static constexpr double kOnDevice = 2;  // blocks

  double inputs = 0, differences = 0;  // bytes of one
  bool is_away = false;                // but for those of two blocks

  double bytes(double blocks) const {
    return blocks * inputs + std::max(0.0, blocks - 1) * differences;
  }
  double on_device(double blocks) const {
    return is_away ? std::min(blocks, kOnDevice) * (inputs + differences) : bytes(blocks);
  }
};

WaitingStates waiting_states(const Shape& shape, const RunOptions& options) {
  constexpr double kNarrow = 2;
  const KeptInputs& kept = options.train.inputs;
  const bool is_narrow = kept.type == BlockInputs::kBf16;
  const double numbers = shape.tokens * shape.hidden;
  return {.inputs = (is_narrow ? kNarrow : kWide) * numbers,
          .differences = (is_narrow ? kNarrow : shape.compute) * numbers,
          .is_away = kept.place == InputsPlace::kCpu && !device_traits(shape.device).is_host};
}

// In bf16 logits have fp32 sums, for which a CPU without tiles widens what it multiplies.
double widened_head(const Shape& shape, double rows) {
  if (shape.dtype != at::kBFloat16 || !device_traits(shape.device).is_host ||
      has_fast_mixed_products(shape.device)) {
    return 0;
  }
  const ModelSpec& spec = shape.spec;
  const int64_t pieces =
      chunked_matmul_numbers(static_cast<int64_t>(rows), spec.vocab_size, spec.embedding_size);
  return kWide * (rows * shape.embedding + static_cast<double>(pieces));
}

Moment worst_moment(Decoder& decoder, const Shape& shape, std::span<const LayerPlan> plans,
                    const RunOptions& options) {
  const ModelSpec& spec = shape.spec;
  const double c = shape.compute, state = kWide * shape.tokens * shape.hidden;
  const bool keep_all = options.train.recompute == Recompute::kNone;
  const WaitingStates waiting = waiting_states(shape, options);
  const bool is_narrow = options.train.inputs.type == BlockInputs::kBf16;
  size_t next = 0;
  group_sizes(decoder, shape, plans, 0, &next);
  // While logits are compared: the student's last hidden state (the teacher's, where nothing
  // follows it), what the head reads in both models, dz. All are gone before the blocks' backward.
  const bool same = !spec.final_norm && spec.embedding_size == spec.hidden_size;
  const double z = kWide * shape.tokens * shape.embedding;
  const double ends = same ? 2 * state + z : state + 3 * z;
  double kept = 0, kept_weights = 0;  // of the blocks so far
  Moment worst;
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    const GroupSizes group = group_sizes(decoder, shape, plans, layer + 1, &next);
    const BlockTape tape = block_tape(shape, layer, group.last_at_worst);
    const double blocks = static_cast<double>(layer + 1);
    Moment backward{.what = "activations and gradients of a block"};
    // Inputs and differences, the gradient that comes in, the block's output, its input as it was.
    backward.states = waiting.on_device(blocks) + (keep_all ? 1 : is_narrow ? 3 : 2) * state;
    backward.weights = kept_weights + shape.weight() * group.weights + c * group.last;
    backward.work =
        kept + shape.tokens * (tape.at_worst() + c * (group.latent - group.last_latent));
    if (backward.total() > worst.total()) worst = backward;
    if (!keep_all) continue;
    kept += shape.tokens * (tape.kept() + c * group.latent);
    kept_weights += shape.weight() * group.weights;
  }
  const double layers = static_cast<double>(spec.num_layers);
  const double rows = std::min(static_cast<double>(head_rows(spec.vocab_size)), shape.tokens);
  Moment loss{.what = "logits of a chunk"};
  loss.states = waiting.on_device(layers) + ends;
  loss.weights = kept_weights;
  loss.work =
      kept + 2 * kWide * rows * static_cast<double>(spec.vocab_size) + widened_head(shape, rows);
  return loss.total() > worst.total() ? loss : worst;
}

// Numbers of the teacher, by whether the decoder has them in the compute dtype.
struct TeacherSizes {
  double computed = 0, as_stored = 0, wide = 0;
};

TeacherSizes teacher_sizes(Decoder& decoder) {
  const ModelSpec& spec = decoder.spec();
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  TeacherSizes sizes;
  decoder.visit_linears([&](LinearSlot& slot) {
    sizes.computed += number(slot.d_in) * number(slot.d_out);
    if (slot.has_bias) sizes.computed += number(slot.d_out);
  });
  decoder.visit_parameters([&](Parameter& parameter) { sizes.wide += number(parameter.size); });
  const double head = number(spec.vocab_size) * number(spec.embedding_size);
  sizes.computed += head;
  if (!spec.tied_embeddings) sizes.as_stored += head;
  if (spec.learned_positions) {
    sizes.as_stored += number(spec.max_positions + spec.position_offset) * number(spec.hidden_size);
  }
  return sizes;
}

// Groups, or blocks of the teacher, that are whole at once where they are divided: on GPUs one
// travels while the other is worked on.
double whole_at_once(at::Device device) { return device_traits(device).is_host ? 1 : 2; }

double largest_block(Decoder& decoder) {
  double largest = 0;
  for (const double block : teacher_blocks(decoder)) largest = std::max(largest, block);
  return largest;
}

double teacher_bytes(Decoder& decoder, at::Device device, std::optional<at::ScalarType> stored,
                     const ShardingChoice& choice) {
  TeacherSizes sizes = teacher_sizes(decoder);
  const auto bytes = [](at::ScalarType type) {
    return static_cast<double>(c10::elementSize(type));
  };
  const at::ScalarType compute = decoder.compute_dtype();
  const bool mapped = device_traits(device).is_host;
  const at::ScalarType kept = stored ? weight_dtype(*stored, compute, device) : compute;
  const bool as_it_lies = mapped && stored == kept;
  double blocks = 0;
  if (choice.teacher_sharded || choice.teacher_streamed) {
    double all = 0;
    for (const double block : teacher_blocks(decoder)) all += block;
    sizes.computed -= all;
    const double at_once = whole_at_once(device) * largest_block(decoder);
    if (choice.teacher_streamed) {
      blocks = as_it_lies ? 0 : bytes(compute) * at_once;
    } else {
      const int64_t parts = choice.teacher_parts();
      blocks = bytes(kept) * (all / static_cast<double>(parts) + (parts > 1 ? at_once : 0));
    }
  }
  const double computed = as_it_lies ? 0 : bytes(compute) * sizes.computed;
  const double as_stored = mapped ? 0 : bytes(stored.value_or(compute)) * sizes.as_stored;
  const double wide = mapped && stored == at::kFloat ? 0 : kWide * sizes.wide;
  return blocks + computed + as_stored + wide;
}

// Of this process: what it owns of the latents, and the buffers of their gradients.
struct StateSizes {
  double owned = 0, all = 0;  // latents
  double vectors = 0;
  double largest = 0;  // latents of a group
};

StateSizes state_sizes(std::span<const GroupLayout> layouts, const ShardingChoice& choice) {
  StateSizes sizes;
  for (const GroupLayout& layout : layouts) {
    const auto latents = static_cast<double>(layout.num_latents);
    sizes.owned += static_cast<double>(slice_of(layout, choice.rank, choice.world).size());
    sizes.all += latents;
    sizes.vectors += static_cast<double>(layout.num_vectors);
    sizes.largest = std::max(sizes.largest, latents);
  }
  return sizes;
}

// Summed group by group: this process's slices of the sums, and whole groups. What is sent in
// another type than fp32 is a copy.
double gradient_bytes(const StateSizes& sizes, const ShardingChoice& choice, at::Device device,
                      bool in_backward, bool keeps_slices) {
  const auto sent = static_cast<double>(choice.reduce_bytes);
  const double travelling = whole_at_once(device);
  const bool copied = choice.world > 1 && sent != kWide;
  const double copies = copied ? travelling * sent * sizes.largest : 0;
  if (!in_backward) return kWide * sizes.all + copies;
  return kWide * ((keeps_slices ? sizes.owned : 0) + (copied ? 1 : travelling) * sizes.largest) +
         copies;
}

// Of a latent's two moments; codes have two scales a block.
double moment_bytes(MomentType type) {
  switch (type) {
    case MomentType::kFp32:
      return 2 * kWide;
    case MomentType::kBf16:
      return 4;
    case MomentType::kInt8:
      return 2 + 2 * kWide / static_cast<double>(kMomentBlock);
  }
  LB_ASSERT(false, "type of moments");
}

// Measured on CPUs (docs/benchmarks.md): what threads and the products' library take for
// themselves, and pages that are kept for the next tensors (nn/tensor_memory.h). Assumed on GPUs:
// CUDA's context, cuBLAS's and NCCL's buffers, and what lies between tensors.
double beside_tensors(std::span<const MemoryPart> parts, at::Device device) {
  constexpr double kLibraries = 16 << 20, kKept = 1.0 / 11;
  constexpr double kContext = 1536 << 20, kBetween = 1.0 / 50;
  double tensors = 0;
  for (const MemoryPart& part : parts) tensors += part.on_host ? 0 : part.bytes;
  return device_traits(device).is_host ? kLibraries + kKept * tensors
                                       : kContext + kBetween * tensors;
}

MemoryPart beside(std::span<const MemoryPart> parts, at::Device device) {
  return {device_traits(device).is_host ? kBesideTensors : kContextAndGaps,
          beside_tensors(parts, device)};
}

const char* teacher_words(const ShardingChoice& choice) {
  return choice.teacher_sharded    ? "teacher, divided, and gathered blocks"
         : choice.teacher_streamed ? "teacher, and blocks of it as they run"
                                   : "teacher, what is not mapped";
}

// Of block-wise training: one block is trained, beside the inputs and targets of all sequences.
std::vector<MemoryPart> blockwise_parts(Decoder& decoder, std::span<const LayerPlan> plans,
                                        const RunOptions& options, Shape shape,
                                        const StateSizes& state, double teacher,
                                        const ShardingChoice& choice) {
  const BlockwiseOptions& blockwise = options.blockwise;
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const bool on_host = !device_traits(shape.device).is_host;
  const bool on_disk = blockwise.storage == BlockwiseStorage::kDisk;
  const int64_t mine = std::max<int64_t>(1, blockwise.batch_size / choice.world);
  shape.tokens = number(std::min(options.train.micro_batch_size, mine)) * shape.length;
  const double states = kWide * shape.tokens * shape.hidden;
  const double largest = state.largest / number(choice.world);
  const double per_latent = kWide + moment_bytes(options.optim.moments);
  const bool is_apart = choice.state_on_host && on_host;
  Moment worst;
  size_t next = 0;
  group_sizes(decoder, shape, plans, 0, &next);
  for (int64_t layer = 0; layer < shape.spec.num_layers; ++layer) {
    const GroupSizes group = group_sizes(decoder, shape, plans, layer + 1, &next);
    const BlockTape tape = block_tape(shape, layer, group.last_at_worst);
    Moment backward{.what = "activations and gradients of a block"};
    // The input, the output and its gradient; on a CPU the input is where all inputs are.
    backward.states = (on_host ? 3 : 2) * states;
    backward.weights = shape.weight() * group.weights + shape.compute * group.last;
    backward.work =
        shape.tokens * (tape.at_worst() + shape.compute * (group.latent - group.last_latent));
    if (backward.total() > worst.total()) worst = backward;
  }
  std::vector<MemoryPart> parts = {
      {"latents, two moments", per_latent * (on_disk ? largest : state.owned), is_apart},
      {"gradients of latents", kWide * (state.largest + (choice.world > 1 ? largest : 0))},
      {"sign bits", state.all / 8},
      {"scales, biases, norms", 4 * kWide * state.vectors},
      {teacher_words(choice), teacher},
      {"states of a block", worst.states},
      {"expanded weights and their gradients", worst.weights},
      {worst.what, worst.work}};
  if (is_apart) {
    parts.push_back({"gradients and sign bits, copies", (kWide + 1.0 / 8) * largest, on_host});
  }
  if (choice.teacher_streamed && on_host) {
    parts.push_back(
        {"teacher's blocks on their way", 2 * shape.compute * largest_block(decoder), on_host});
  }
  if (!on_disk) {
    parts.push_back({"inputs and targets of a block",
                     2 * kWide * number(blockwise.sequences) / number(choice.world) * shape.length *
                         shape.hidden,
                     on_host});
    if (choice.async_checkpoint) {
      parts.push_back(
          {"checkpoint being written",
           per_latent * state.owned + (choice.rank == 0 ? 3 * kWide * state.vectors : 0), on_host});
    }
  }
  parts.push_back(beside(parts, shape.device));
  return parts;
}

}  // namespace

std::vector<MemoryPart> memory_parts(Decoder& decoder, std::span<const LayerPlan> plans,
                                     const RunOptions& options, at::Device device,
                                     std::optional<at::ScalarType> stored,
                                     const ShardingChoice& choice) {
  const StateSizes state = state_sizes(group_layouts(decoder, plans), choice);
  const Shape shape = shape_of(decoder, options, device, choice.world);
  const Moment moment = worst_moment(decoder, shape, plans, options);
  const WaitingStates waiting = waiting_states(shape, options);
  const double teacher = teacher_bytes(decoder, device, stored, choice);
  const bool is_apart = choice.state_on_host && !device_traits(device).is_host;
  const double per_latent = kWide + moment_bytes(options.optim.moments);
  const bool keeps_slices = !is_apart || micro_batches(options, choice.world) > 1;
  std::vector<MemoryPart> parts = {
      {"latents, two moments", per_latent * state.owned, is_apart},
      {"gradients of latents",
       gradient_bytes(state, choice, device, reduces_in_backward(options, choice), keeps_slices)},
      {"sign bits", state.all / 8},
      {"scales, biases, norms", 4 * kWide * state.vectors},
      {teacher_words(choice), teacher},
      {"states of blocks and their differences", moment.states},
      {"expanded weights and their gradients", moment.weights},
      {moment.what, moment.work}};
  if (is_apart) {  // what is copied on its way to the update, and back
    parts.push_back({"gradients and sign bits, copies", (kWide + 1.0 / 8) * state.owned, true});
  }
  if (choice.async_checkpoint) {
    parts.push_back({"checkpoint being written",
                     per_latent * state.owned + (choice.rank == 0 ? 3 * kWide * state.vectors : 0),
                     /*on_host=*/!device_traits(device).is_host});
  }
  if (waiting.is_away) {
    parts.push_back({"states of blocks", waiting.bytes(static_cast<double>(shape.spec.num_layers)),
                     /*on_host=*/true});
  }
  if (choice.teacher_streamed && !device_traits(device).is_host) {
    parts.push_back({"teacher's blocks on their way", 2 * shape.compute * largest_block(decoder),
                     /*on_host=*/true});
  }
  parts.push_back(beside(parts, device));
  if (options.blockwise.sequences == 0) return parts;
  std::vector<MemoryPart> blockwise =
      blockwise_parts(decoder, plans, options, shape, state, teacher, choice);
  const bool is_all = options.train.steps == 0 && options.train.epochs == 0;
  return is_all || device_bytes(blockwise) > device_bytes(parts) ? blockwise : parts;
}

HostCopies host_copies(Decoder& decoder, std::span<const LayerPlan> plans,
                       const RunOptions& options, at::Device device, const ShardingChoice& choice) {
  HostCopies copies;
  if (device_traits(device).is_host) return copies;
  const Shape shape = shape_of(decoder, options, device, choice.world);
  const WaitingStates waiting = waiting_states(shape, options);
  if (waiting.is_away) {
    const double bytes = waiting.bytes(static_cast<double>(shape.spec.num_layers));
    copies.to_host = bytes;
    copies.to_device = std::max(0.0, bytes - WaitingStates::kOnDevice * waiting.inputs -
                                         (WaitingStates::kOnDevice - 1) * waiting.differences);
  }
  if (choice.teacher_streamed) {
    for (const double block : teacher_blocks(decoder)) copies.to_device += shape.compute * block;
  }
  const auto passes = static_cast<double>(micro_batches(options, choice.world));
  copies = {.to_device = passes * copies.to_device, .to_host = passes * copies.to_host};
  if (!choice.state_on_host) return copies;
  // Gradients of latents go, sign bits come.
  const double latents = state_sizes(group_layouts(decoder, plans), choice).owned;
  copies.to_host += 4 * latents;
  copies.to_device += latents / 8;
  return copies;
}

double device_bytes(std::span<const MemoryPart> parts) {
  double sum = 0;
  for (const MemoryPart& part : parts) sum += part.on_host ? 0 : part.bytes;
  return sum;
}

double host_bytes(std::span<const MemoryPart> parts) {
  double sum = 0;
  for (const MemoryPart& part : parts) sum += part.on_host ? part.bytes : 0;
  return sum;
}

}  // namespace littlebit
