// The distillation step: teacher and student walk the blocks in lockstep, losses and gradients by
// an explicit schedule over parameter groups instead of one autograd graph (docs/architecture.md,
// "The step").
//
// loss = kl_weight * KL + hidden_weight * differences of hidden states, scaled by the counts of the
// whole global batch, so the accumulated gradient is the same for every split into micro-batches.
// No [tokens, vocabulary] tensor for more than `head_rows` rows, no latents. Peak memory of a call:
// L block inputs and differences [B, T, H], one block's graph, one group's expanded weights, one
// chunk of logits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "littlebit/device/part_clock.h"
#include "littlebit/distill/block_tape.h"
#include "littlebit/distill/hidden_loss.h"
#include "littlebit/distill/options.h"
#include "littlebit/optim/gradients.h"

namespace littlebit {

// kFull runs each block again in the backward pass, kNone keeps every block's graph until then; the
// numbers are the same. kAuto is for options: whoever makes a step has decided.
enum class Recompute { kAuto, kFull, kNone };

// How block inputs, and the directions of hidden terms, wait for the backward pass of
// Recompute::kFull. kBf16: rounded to it, which halves them. kCpu: those of another device in its
// host's memory, with the same numbers.
enum class BlockInputs { kFull, kBf16 };
enum class InputsPlace { kDevice, kCpu };
struct KeptInputs {
  BlockInputs type = BlockInputs::kFull;
  InputsPlace place = InputsPlace::kDevice;
};

class HostStack;

// What a step's time is spent on, for a PartClock.
enum class StepPart { kTeacher, kStudent, kLoss, kBackward, kOptimizer, kData };
inline constexpr const char* kStepParts[] = {
    "teacher", "student forward", "loss", "recompute and backward", "optimizer", "data"};

// Weighted terms of the loss, scalars in double on the device until somebody reads them; undefined:
// zero.
struct DistillationLoss {
  at::Tensor kl, hidden;
  at::Tensor total() const;
  DistillationLoss& operator+=(const DistillationLoss& other);

  // They wait for the device.
  double read_kl() const { return kl.item<double>(); }
  double read_hidden() const { return hidden.item<double>(); }
};

// Keeps references: teacher and student outlive it.
class DistillationStep {
 public:
  DistillationStep(const Decoder& teacher, Student& student, const DistillOptions& options,
                   Recompute recompute, const KeptInputs& inputs = {});
  ~DistillationStep();

  // One micro-batch ids [B, T] (int64) of a global batch of `global_sequences`: gives each group's
  // gradients to `sink` when its backward is done, from the tail to the embedding, and returns this
  // micro-batch's share of the loss. Does not wait for the device.
  DistillationLoss accumulate(const at::Tensor& ids, int64_t global_sequences, GradientSink& sink);

  // As above, into one GroupGradients per group.
  DistillationLoss accumulate(const at::Tensor& ids, int64_t global_sequences,
                              std::span<GroupGradients> gradients);

  // From now on hidden states have this weight instead of that of the options.
  void set_hidden_weight(double weight) { options_.hidden_weight = weight; }

  // From now on tells `clock` which part begins (all of StepPart but kOptimizer and kData);
  // nullptr: no more.
  void set_clock(PartClock* clock) { clock_ = clock; }

 private:
  void begin(StepPart part) {
    if (clock_ != nullptr) clock_->enter(static_cast<int>(part));
  }

  // A block's graph, where it has one already, until its backward; its input and the direction of
  // its hidden term wait on `waiting_`.
  struct KeptBlock {
    BlockTape tape;
    double hidden_factor = 0;
  };
  // The two states behind the last block.
  struct Ends {
    at::Tensor teacher_h, student_h;
  };
  // The counts that losses are divided by.
  struct Counts {
    double sequences, tokens;
    double divisor(Normalization of) const {
      return of == Normalization::kPerToken ? tokens : sequences;
    }
  };
  BlockTape record_block(int64_t layer, const at::Tensor& input);
  HiddenTerm hidden_term(const at::Tensor& student_h, const at::Tensor& teacher_h,
                         const Counts& counts, at::ScalarType dtype) const;
  Ends run_blocks(const at::Tensor& ids_bt, const Counts& counts, std::vector<KeptBlock>& kept,
                  DistillationLoss& loss);
  at::Tensor run_tail(Ends ends, const Counts& counts, DistillationLoss& loss, GradientSink& sink);

  const Decoder& teacher_;
  Student& student_;
  DistillOptions options_;
  Recompute recompute_;
  KeptInputs inputs_;
  std::unique_ptr<HostStack> waiting_;
  SequenceContext teacher_context_, student_context_;
  PartClock* clock_ = nullptr;
};

}  // namespace littlebit
