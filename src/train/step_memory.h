// What is alive at the worst moment of a step, in numbers of its micro-batch: a part of the memory
// plan (memory_plan.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "littlebit/models/decoder.h"
#include "littlebit/quant/bit_budget.h"
#include "littlebit/train/options.h"

namespace littlebit {

inline constexpr double kWideBytes =
    4;  // bytes of the residual stream, of vectors, latents and logits

// Numbers of a model outside its linear layers, and their biases.
struct StepShape {
  const ModelSpec& spec;
  at::ScalarType dtype;             // to compute in
  double compute;                   // bytes of it
  double tokens, length;            // of a micro-batch, of a sequence
  double hidden, embedding, inner;  // widths of the residual stream, of z, inside the MLP
  double queries, keys;             // widths of all heads of q, of k
  at::Device device;

  bool is_wide() const { return compute == kWideBytes; }
  // Layers multiply signs as they are (quant/littlebit_linear.h).
  bool has_signs() const;
  double weight() const { return has_signs() ? 2 : compute; }  // bytes of an expanded one
  // Of a copy in the compute dtype, which in fp32 is the tensor itself.
  double copy(double numbers) const { return is_wide() ? 0 : compute * numbers; }
};

// Of the micro-batches that options ask for, divided among `world` processes.
StepShape step_shape(const Decoder& decoder, const RunOptions& options, at::Device device,
                     int64_t world);

// Three parts that are alive at one moment.
struct StepMoment {
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

WaitingStates waiting_states(const StepShape& shape, const RunOptions& options);

// When a chunk of logits is compared, or in the backward pass of a block: the larger.
StepMoment worst_moment(Decoder& decoder, const StepShape& shape, std::span<const LayerPlan> plans,
                        const RunOptions& options);

// The backward pass of the largest block, of which nothing but `states` bytes of its input, output
// and their like waits.
StepMoment worst_block_moment(Decoder& decoder, const StepShape& shape,
                              std::span<const LayerPlan> plans, double states);

}  // namespace littlebit
