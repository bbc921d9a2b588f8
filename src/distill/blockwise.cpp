// Invariant: between two calls, `teacher_states_` are the targets and `student_states_` the inputs
// of block `prepared_`, or nothing is prepared.
//
//     teacher   embedding, block 0, ..., block b            -> targets of block b
//     student   embedding, finished blocks 0, ..., b - 1    -> inputs of block b, which is trained
#include "littlebit/distill/blockwise.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/distill/block_tape.h"
#include "littlebit/distill/hidden_loss.h"
#include "littlebit/nn/scratch_tensor.h"

namespace littlebit {

BlockwiseStep::BlockwiseStep(const Decoder& teacher, Student& student, at::Tensor teacher_states,
                             at::Tensor student_states)
    : teacher_(teacher),
      student_(student),
      teacher_states_(std::move(teacher_states)),
      student_states_(std::move(student_states)) {
  const int64_t length = student_states_.size(1);
  teacher_context_ = teacher.context(length);
  student_context_ = student.decoder().context(length);
}

void BlockwiseStep::keep(const at::Tensor& states, int64_t first, int64_t count,
                         const at::Tensor& values) {
  const at::Tensor rows = states.narrow(0, first, count);
  rows.copy_(values);
  drop_scratch_pages(rows);
}

at::Tensor BlockwiseStep::on_device(const at::Tensor& states, int64_t first, int64_t count) const {
  return states.narrow(0, first, count).to(teacher_.device());
}

void BlockwiseStep::embed(int64_t first, int64_t count, const at::Tensor& ids) {
  const at::Tensor ids_bt = ids.to(teacher_.device());
  keep(teacher_states_, first, count, teacher_.embedding_forward(ids_bt));
  StudentGroup& embedding = student_.groups()[0];
  embedding.materialize(/*differentiable=*/false);
  keep(student_states_, first, count, student_.decoder().embedding_forward(ids_bt));
  embedding.release();
}

void BlockwiseStep::run_teacher(int64_t layer, int64_t first, int64_t count) {
  begin(StepPart::kTeacher);
  const at::Tensor x = on_device(teacher_states_, first, count);
  keep(teacher_states_, first, count, teacher_.block_forward(layer, x, teacher_context_));
}

void BlockwiseStep::run_student(int64_t layer, int64_t first, int64_t count) {
  begin(StepPart::kStudent);
  const at::Tensor x = on_device(student_states_, first, count);
  keep(student_states_, first, count, student_.decoder().block_forward(layer, x, student_context_));
}

bool BlockwiseStep::prepare(int64_t layer, int64_t at_once, const Ids& ids,
                            const std::function<bool()>& stops) {
  c10::NoGradGuard no_grad;
  const int64_t sequences = student_states_.size(0);
  int64_t from = prepared_;
  prepared_ = -1;
  // All sequences, some at a time.
  const auto for_all = [&](const std::function<void(int64_t first, int64_t count)>& run) {
    for (int64_t first = 0; first < sequences; first += at_once) {
      if (stops()) return false;
      run(first, std::min(at_once, sequences - first));
    }
    return true;
  };
  // Nothing is prepared, or a later block than this one: states cannot be taken back, so they begin
  // anew at the embedding. Targets are the teacher's outputs of block 0.
  if (from < 0 || from > layer) {
    if (!for_all([&](int64_t first, int64_t count) { embed(first, count, ids(first, count)); })) {
      return false;
    }
    if (!for_all([&](int64_t first, int64_t count) { run_teacher(0, first, count); })) {
      return false;
    }
    from = 0;
  }
  for (; from < layer; ++from) {
    // The student's input of the next block comes from its own finished blocks, so that a block
    // also learns to make up for what those before it did wrong.
    StudentGroup& finished = student_.groups()[from + 1];
    finished.materialize(/*differentiable=*/false);
    const bool is_done =
        for_all([&](int64_t first, int64_t count) { run_student(from, first, count); });
    finished.release();
    if (!is_done) return false;
    if (!for_all([&](int64_t first, int64_t count) { run_teacher(from + 1, first, count); })) {
      return false;
    }
  }
  prepared_ = layer;
  return true;
}

DistillationLoss BlockwiseStep::accumulate(int64_t first, int64_t count, int64_t global_sequences,
                                           GradientSink& sink) {
  LB_ASSERT(prepared_ >= 0, "a block is prepared");
  c10::NoGradGuard no_grad;
  const Decoder& student = student_.decoder();
  const auto group = static_cast<size_t>(prepared_ + 1);
  begin(StepPart::kStudent);
  BlockTape tape = BlockTape::record(
      student_.groups()[group], on_device(student_states_, first, count),
      /*input_needs_gradient=*/false,
      [&](const at::Tensor& x) { return student.block_forward(prepared_, x, student_context_); });
  begin(StepPart::kLoss);
  // A mean over all positions of the step: processes and calls only add up.
  const double positions =
      static_cast<double>(global_sequences) * static_cast<double>(student_states_.size(1));
  HiddenTerm term = relative_error(tape.output(), on_device(teacher_states_, first, count),
                                   1 / positions, tape.output().scalar_type());
  begin(StepPart::kBackward);
  tape.backward(term.direction.mul_(term.factor), sink, group);
  // They were read through a mapping, if on the disk.
  for (const at::Tensor& states : {teacher_states_, student_states_}) {
    drop_scratch_pages(states.narrow(0, first, count));
  }
  return {.kl = at::zeros({}, term.loss.options()), .hidden = std::move(term.loss)};
}

}  // namespace littlebit
