// The parts of a run's memory: what stays, and a step's worst moment (step_memory.h).
#include "memory_plan.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/device/device.h"
#include "littlebit/models/load.h"
#include "step_memory.h"

namespace littlebit {
namespace {

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
  const double wide = mapped && stored == at::kFloat ? 0 : kWideBytes * sizes.wide;
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
  const bool copied = choice.world > 1 && sent != kWideBytes;
  const double copies = copied ? travelling * sent * sizes.largest : 0;
  if (!in_backward) return kWideBytes * sizes.all + copies;
  return kWideBytes *
             ((keeps_slices ? sizes.owned : 0) + (copied ? 1 : travelling) * sizes.largest) +
         copies;
}

// Of a latent's two moments; codes have two scales a block.
double moment_bytes(MomentType type) {
  switch (type) {
    case MomentType::kFp32:
      return 2 * kWideBytes;
    case MomentType::kBf16:
      return 4;
    case MomentType::kInt8:
      return 2 + 2 * kWideBytes / static_cast<double>(kMomentBlock);
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
                                        const RunOptions& options, StepShape shape,
                                        const StateSizes& state, double teacher,
                                        const ShardingChoice& choice) {
  const BlockwiseOptions& blockwise = options.blockwise;
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const bool on_host = !device_traits(shape.device).is_host;
  const bool on_disk = blockwise.storage == BlockwiseStorage::kDisk;
  const int64_t mine = std::max<int64_t>(1, blockwise.batch_size / choice.world);
  shape.tokens = number(std::min(options.train.micro_batch_size, mine)) * shape.length;
  const double states = kWideBytes * shape.tokens * shape.hidden;
  const double largest = state.largest / number(choice.world);
  const double per_latent = kWideBytes + moment_bytes(options.optim.moments);
  const bool is_apart = choice.state_on_host && on_host;
  // The input, the output and its gradient; on a CPU the input is where all inputs are.
  const StepMoment worst = worst_block_moment(decoder, shape, plans, (on_host ? 3 : 2) * states);
  std::vector<MemoryPart> parts = {
      {"latents, two moments", per_latent * (on_disk ? largest : state.owned), is_apart},
      {"gradients of latents", kWideBytes * (state.largest + (choice.world > 1 ? largest : 0))},
      {"sign bits", state.all / 8},
      {"scales, biases, norms", 4 * kWideBytes * state.vectors},
      {teacher_words(choice), teacher},
      {"states of a block", worst.states},
      {"expanded weights and their gradients", worst.weights},
      {worst.what, worst.work}};
  if (is_apart) {
    parts.push_back({"gradients and sign bits, copies", (kWideBytes + 1.0 / 8) * largest, on_host});
  }
  if (choice.teacher_streamed && on_host) {
    parts.push_back(
        {"teacher's blocks on their way", 2 * shape.compute * largest_block(decoder), on_host});
  }
  if (!on_disk) {
    parts.push_back({"inputs and targets of a block",
                     2 * kWideBytes * number(blockwise.sequences) / number(choice.world) *
                         shape.length * shape.hidden,
                     on_host});
    if (choice.async_checkpoint) {
      parts.push_back(
          {"checkpoint being written",
           per_latent * state.owned + (choice.rank == 0 ? 3 * kWideBytes * state.vectors : 0),
           on_host});
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
  const StepShape shape = step_shape(decoder, options, device, choice.world);
  const StepMoment moment = worst_moment(decoder, shape, plans, options);
  const WaitingStates waiting = waiting_states(shape, options);
  const double teacher = teacher_bytes(decoder, device, stored, choice);
  const bool is_apart = choice.state_on_host && !device_traits(device).is_host;
  const double per_latent = kWideBytes + moment_bytes(options.optim.moments);
  const bool keeps_slices = !is_apart || micro_batches(options, choice.world) > 1;
  std::vector<MemoryPart> parts = {
      {"latents, two moments", per_latent * state.owned, is_apart},
      {"gradients of latents",
       gradient_bytes(state, choice, device, reduces_in_backward(options, choice), keeps_slices)},
      {"sign bits", state.all / 8},
      {"scales, biases, norms", 4 * kWideBytes * state.vectors},
      {teacher_words(choice), teacher},
      {"states of blocks and their differences", moment.states},
      {"expanded weights and their gradients", moment.weights},
      {moment.what, moment.work}};
  if (is_apart) {  // what is copied on its way to the update, and back
    parts.push_back(
        {"gradients and sign bits, copies", (kWideBytes + 1.0 / 8) * state.owned, true});
  }
  if (choice.async_checkpoint) {
    parts.push_back(
        {"checkpoint being written",
         per_latent * state.owned + (choice.rank == 0 ? 3 * kWideBytes * state.vectors : 0),
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
  const StepShape shape = step_shape(decoder, options, device, choice.world);
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
