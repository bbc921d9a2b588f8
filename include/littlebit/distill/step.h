// The distillation step: teacher and student walk the blocks in lockstep, losses and gradients by
// an explicit schedule over parameter groups instead of one autograd graph (docs/architecture.md,
// "The step").
//
// loss = kl_weight * KL + hidden_weight * sum of MSEs, specs section 6, scaled by the counts of the
// whole global batch, so the accumulated gradient is the same for every split into micro-batches.
// No [tokens, vocabulary] tensor for more than `head_rows` rows, no latents. Peak memory of a call:
// L block inputs and differences [B, T, H], one block's graph, one group's expanded weights, one
// chunk of logits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/distill/options.h"
#include "littlebit/nn/part_clock.h"
#include "littlebit/quant/student.h"

namespace littlebit {

enum class Recompute {
  kFull,
  kNone
};  // kNone keeps every block's graph between forward and backward

// What a step's time is spent on, for a PartClock.
enum class StepPart { kTeacher, kStudent, kLoss, kBackward, kOptimizer };
inline constexpr const char* kStepParts[] = {"teacher", "student forward", "loss",
                                             "recompute and backward", "optimizer"};

struct DistillationLoss {
  double kl = 0, hidden = 0;  // weighted; their sum is the loss
  double total() const { return kl + hidden; }
  DistillationLoss& operator+=(const DistillationLoss& other);
};

// Rows of logits alive at a time, per model: 1024, fewer where the vocabulary is large (at most
// 2^24 logits, 64 MiB in fp32, but 64 rows at least).
int64_t head_rows(int64_t vocabulary);

// Sum over rows and vocabulary of p_t (log p_t - log p_s), p = softmax(head(z)); adds scale *
// d(sum)/d(z_student) into `dz` [N, E]. z_* [N, E]. Logits of at most head_rows rows exist at a
// time; fp32 (fp64) arithmetic on them.
double kl_divergence(const Decoder& teacher, const Decoder& student, const at::Tensor& z_teacher,
                     const at::Tensor& z_student, double scale, const at::Tensor& dz);

// Keeps references: teacher and student outlive it.
class DistillationStep {
 public:
  DistillationStep(const Decoder& teacher, Student& student, const DistillOptions& options,
                   Recompute recompute);

  // One micro-batch ids [B, T] (int64) of a global batch of `global_sequences`: adds gradients into
  // the student's buffers and returns this micro-batch's share of the loss.
  DistillationLoss accumulate(const at::Tensor& ids, int64_t global_sequences);

  // From now on tells `clock` which part begins (all of StepPart but kOptimizer); nullptr: no more.
  void set_clock(PartClock* clock) { clock_ = clock; }

 private:
  void begin(StepPart part) {
    if (clock_ != nullptr) clock_->enter(static_cast<int>(part));
  }

  const Decoder& teacher_;
  Student& student_;
  DistillOptions options_;
  Recompute recompute_;
  SequenceContext teacher_context_, student_context_;
  PartClock* clock_ = nullptr;
};

}  // namespace littlebit
