// The schedule of docs/architecture.md, "The step", for one micro-batch. Invariant: a group's
// weights are expanded only between materialize() and release() or inside its tape, and losses stay
// on the device.
#include "littlebit/distill/step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <utility>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/distill/kl_divergence.h"

namespace littlebit {
namespace {

void add_to(at::Tensor& sum, const at::Tensor& value) {
  if (value.defined()) sum = sum.defined() ? sum + value : value;
}

at::Tensor as_rows(const at::Tensor& t) { return t.view({-1, t.size(-1)}); }

}  // namespace

DistillationLoss& DistillationLoss::operator+=(const DistillationLoss& other) {
  add_to(kl, other.kl);
  add_to(hidden, other.hidden);
  return *this;
}

at::Tensor DistillationLoss::total() const { return kl + hidden; }

DistillationStep::DistillationStep(const Decoder& teacher, Student& student,
                                   const DistillOptions& options, Recompute recompute)
    : teacher_(teacher), student_(student), options_(options), recompute_(recompute) {}

BlockTape DistillationStep::record_block(int64_t layer, const at::Tensor& input) {
  return BlockTape::record(student_.groups()[layer + 1], input, /*input_needs_gradient=*/true,
                           [&](const at::Tensor& x) {
                             return student_.decoder().block_forward(layer, x, student_context_);
                           });
}

DistillationLoss DistillationStep::accumulate(const at::Tensor& ids, int64_t global_sequences,
                                              std::span<GroupGradients> gradients) {
  c10::NoGradGuard no_grad;
  const Decoder& student = student_.decoder();
  const at::Tensor ids_bt = ids.to(student.device());
  std::vector<StudentGroup>& groups = student_.groups();
  const int64_t length = ids_bt.size(1), num_layers = student.spec().num_layers;
  const size_t tail_group = static_cast<size_t>(num_layers) + 1;
  if (teacher_context_.length != length) {
    teacher_context_ = teacher_.context(length);
    student_context_ = student.context(length);
  }
  const double sequences = static_cast<double>(global_sequences);
  const double tokens = sequences * static_cast<double>(length);
  const double kl_scale = options_.kl_weight /
                          (options_.normalization == Normalization::kPerToken ? tokens : sequences);
  // The mean squared error of one entry is its sum of squares / (B T width).
  const auto hidden_term = [&](const at::Tensor& student_h, const at::Tensor& teacher_h,
                               at::ScalarType dtype) {
    const double numbers = tokens * static_cast<double>(student_h.size(-1));
    return squared_error(student_h, teacher_h, options_.hidden_weight / numbers, dtype);
  };
  DistillationLoss loss;
  loss.hidden = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(student.device()));

  // 1. Stem and blocks in lockstep. Kept per block: the student's input (or graph), and the hidden
  // term of its output.
  const auto stem_forward = [&](const at::Tensor&) { return student.stem_forward(ids_bt); };
  begin(StepPart::kTeacher);
  at::Tensor teacher_h = teacher_.stem_forward(ids_bt);
  begin(StepPart::kStudent);
  groups[0].materialize(false);
  at::Tensor student_h = student.stem_forward(ids_bt);
  groups[0].release();
  std::vector<KeptBlock> kept(static_cast<size_t>(num_layers));
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    KeptBlock& block = kept[layer];
    begin(StepPart::kTeacher);
    teacher_h = teacher_.block_forward(layer, teacher_h, teacher_context_);
    begin(StepPart::kStudent);
    if (recompute_ == Recompute::kNone) {
      block.tape = record_block(layer, student_h);
      student_h = block.tape.output();
    } else {
      StudentGroup& group = groups[layer + 1];
      block.input = student_h;
      group.materialize(false);
      student_h = student.block_forward(layer, student_h, student_context_);
      group.release();
    }
    begin(StepPart::kLoss);
    if (layer + 1 < num_layers) {
      block.hidden = hidden_term(student_h, teacher_h, student.compute_dtype());
      loss.hidden.add_(block.hidden.loss);
    }
  }

  // 2. Tail and loss. dz collects the gradient at what the head reads.
  const at::Tensor teacher_z = teacher_.tail_forward(teacher_h);
  BlockTape tail = BlockTape::record(groups[tail_group], student_h, /*input_needs_gradient=*/true,
                                     [&](const at::Tensor& x) { return student.tail_forward(x); });
  const at::Tensor student_z = tail.output();
  HiddenTerm last = hidden_term(student_z, teacher_z, student_z.scalar_type());
  loss.hidden.add_(last.loss);
  const at::Tensor dz = last.direction.mul_(last.factor);
  loss.kl = kl_divergence(teacher_, student, as_rows(teacher_z), as_rows(student_z), kl_scale,
                          as_rows(dz))
                .mul_(kl_scale);

  // 3. Back through tail, blocks and stem; each adds its own hidden term's gradient to what comes
  // from above.
  begin(StepPart::kBackward);
  at::Tensor gradient = tail.backward(dz, gradients[tail_group]);
  for (int64_t layer = num_layers - 1; layer >= 0; --layer) {
    KeptBlock block = std::move(kept[layer]);
    if (block.hidden.is_defined()) {
      gradient = gradient.add(block.hidden.direction, block.hidden.factor);
      block.hidden = {};
    }
    if (block.input.defined()) block.tape = record_block(layer, std::exchange(block.input, {}));
    gradient = block.tape.backward(gradient, gradients[layer + 1]);
  }
  if (!groups[0].layout().is_empty()) {
    BlockTape::record(groups[0], gradient, /*input_needs_gradient=*/false, stem_forward)
        .backward(gradient, gradients[0]);
  }
  return loss;
}

}  // namespace littlebit
