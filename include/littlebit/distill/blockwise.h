// Training one block at a time: a block of the student, reading what the finished blocks before it
// made, is to give what the teacher's gives, reading what the teacher's made. One block of each
// model runs at a time; what all sequences are at its input and should be at its output is kept.
//
// loss = the mean over tokens of the squared error of the block's output, over the mean square of
// what the teacher has there: large states, or a few large tokens, weigh no more than others.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "littlebit/device/part_clock.h"
#include "littlebit/distill/step.h"
#include "littlebit/models/decoder.h"
#include "littlebit/optim/gradients.h"

namespace littlebit {

class BlockwiseStep {
 public:
  // Sequences [first, first + count) as ids [count, T].
  using Ids = std::function<at::Tensor(int64_t first, int64_t count)>;

  // Keeps references: teacher and student outlive it. `teacher_states`, `student_states`: where
  // the states of all sequences [N, T, H] are kept, in the host's memory or files of it
  // (nn/scratch_tensor.h), in the residual dtype.
  BlockwiseStep(const Decoder& teacher, Student& student, at::Tensor teacher_states,
                at::Tensor student_states);

  // Makes block `layer`'s inputs and targets, `at_once` sequences at a time: from those of the
  // block before it where they are there, whose student is then finished, else from the ids.
  // False where `stops` said so on the way. `stops` is asked for every so many sequences.
  bool prepare(int64_t layer, int64_t at_once, const Ids& ids, const std::function<bool()>& stops);
  bool is_prepared(int64_t layer) const { return prepared_ == layer; }

  // Of the block that is prepared: gives the gradients of sequences [first, first + count) of a
  // batch of `global_sequences` to `sink`, and returns their share of the loss (as `hidden`).
  DistillationLoss accumulate(int64_t first, int64_t count, int64_t global_sequences,
                              GradientSink& sink);

  void set_clock(PartClock* clock) { clock_ = clock; }  // as DistillationStep's

 private:
  void begin(StepPart part) {
    if (clock_ != nullptr) clock_->enter(static_cast<int>(part));
  }
  static void keep(const at::Tensor& states, int64_t first, int64_t count,
                   const at::Tensor& values);
  at::Tensor on_device(const at::Tensor& states, int64_t first, int64_t count) const;
  void embed(int64_t first, int64_t count, const at::Tensor& ids);
  void run_teacher(int64_t layer, int64_t first, int64_t count);
  void run_student(int64_t layer, int64_t first, int64_t count);

  const Decoder& teacher_;
  Student& student_;
  // Of the teacher behind the block that is prepared, of the student before it.
  at::Tensor teacher_states_, student_states_;
  SequenceContext teacher_context_, student_context_;
  int64_t prepared_ = -1;
  PartClock* clock_ = nullptr;
};

}  // namespace littlebit
