// The schedule of docs/architecture.md, "The step", for one micro-batch. Invariant: a group's
// weights are expanded only between materialize() and release() or inside its tape, and losses stay
// on the device until the step needs their sum.
#include "littlebit/distill/step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "littlebit/core/error.h"
#include "littlebit/nn/autograd.h"

namespace littlebit {
namespace {

// A double on the tensor's device: nothing waits for it until the step is done.
at::Tensor squared_norm(const at::Tensor& t) {
  return at::linalg_vector_norm(t).to(at::kDouble).square_();
}

// One group's forward with autograd on a detached input, until its backward.
struct Tape {
  at::Tensor input, output;
  std::vector<at::Tensor> leaves;
};

template <class Forward>
Tape record(StudentGroup& group, const at::Tensor& input, bool input_needs_gradient,
            const Forward& forward) {
  c10::AutoGradMode with_grad(true);
  group.materialize(/*differentiable=*/true);
  Tape tape{.input = input.detach().set_requires_grad(input_needs_gradient)};
  tape.output = forward(tape.input);
  tape.leaves = group.leaves();
  group.release();  // the graph keeps what it needs
  return tape;
}

// Accumulates the group's gradients; returns dLoss/d(input), undefined where it was not asked for.
at::Tensor play_back(StudentGroup& group, Tape tape, const at::Tensor& output_gradient) {
  const bool with_input = tape.input.requires_grad();
  std::vector<at::Tensor> inputs = std::move(tape.leaves);
  if (with_input) inputs.push_back(tape.input);
  if (inputs.empty()) return {};
  std::vector<at::Tensor> results = gradients({tape.output}, {output_gradient}, inputs);
  at::Tensor input_gradient;
  if (with_input) {
    input_gradient = results.back();
    results.pop_back();
  }
  group.accumulate(results);
  return input_gradient;
}

}  // namespace

DistillationLoss& DistillationLoss::operator+=(const DistillationLoss& other) {
  kl += other.kl;
  hidden += other.hidden;
  return *this;
}

DistillationStep::DistillationStep(const Decoder& teacher, Student& student,
                                   const DistillOptions& options, Recompute recompute)
    : teacher_(teacher), student_(student), options_(options), recompute_(recompute) {}

DistillationLoss DistillationStep::accumulate(const at::Tensor& ids, int64_t global_sequences) {
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
  // MSE of one entry = sum of squares / (B T width); its gradient is 2 diff / (B T width).
  const auto hidden_scale = [&](const at::Tensor& h) {
    return options_.hidden_weight / (tokens * static_cast<double>(h.size(-1)));
  };
  DistillationLoss loss;
  at::Tensor hidden_loss =
      at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(student.device()));

  // 1. Stem and blocks in lockstep. Kept per block: the student's input, and its output minus the
  // teacher's.
  const auto stem_forward = [&](const at::Tensor&) { return student.stem_forward(ids_bt); };
  begin(StepPart::kTeacher);
  at::Tensor teacher_h = teacher_.stem_forward(ids_bt);
  begin(StepPart::kStudent);
  groups[0].materialize(false);
  at::Tensor student_h = student.stem_forward(ids_bt);
  groups[0].release();
  std::vector<at::Tensor> inputs, differences;
  std::vector<Tape> tapes;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    StudentGroup& group = groups[layer + 1];
    begin(StepPart::kTeacher);
    teacher_h = teacher_.block_forward(layer, teacher_h, teacher_context_);
    begin(StepPart::kStudent);
    if (recompute_ == Recompute::kNone) {
      tapes.push_back(record(group, student_h, true, [&](const at::Tensor& x) {
        return student.block_forward(layer, x, student_context_);
      }));
      student_h = tapes.back().output.detach();
    } else {
      inputs.push_back(student_h);
      group.materialize(false);
      student_h = student.block_forward(layer, student_h, student_context_);
      group.release();
    }
    begin(StepPart::kLoss);
    if (layer + 1 < num_layers) {
      at::Tensor difference = student_h - teacher_h;
      hidden_loss.add_(squared_norm(difference).mul_(hidden_scale(student_h)));
      differences.push_back(difference.to(student.compute_dtype()));
    }
  }

  begin(StepPart::kLoss);
  // 2. Tail and loss. dz collects the gradient at what the head reads.
  const at::Tensor teacher_z = teacher_.tail_forward(teacher_h);
  Tape tail = record(groups[tail_group], student_h, true,
                     [&](const at::Tensor& x) { return student.tail_forward(x); });
  const at::Tensor student_z = tail.output.detach();
  at::Tensor dz = student_z - teacher_z;  // the difference, until its norm is taken
  hidden_loss.add_(squared_norm(dz).mul_(hidden_scale(student_z)));
  loss.hidden = hidden_loss.item<double>();
  dz.mul_(2 * hidden_scale(student_z));
  const auto rows = [](const at::Tensor& t) { return t.view({-1, t.size(-1)}); };
  loss.kl = kl_scale *
            kl_divergence(teacher_, student, rows(teacher_z), rows(student_z), kl_scale, rows(dz));

  begin(StepPart::kBackward);
  // 3. Back through tail, blocks and stem; each adds its own hidden term's gradient to what comes
  // from above.
  at::Tensor gradient = play_back(groups[tail_group], std::move(tail), dz);
  for (int64_t layer = num_layers - 1; layer >= 0; --layer) {
    StudentGroup& group = groups[layer + 1];
    if (layer + 1 < num_layers) {
      gradient = gradient.add(differences[layer], 2 * hidden_scale(gradient));
      differences[layer] = at::Tensor();
    }
    Tape tape;
    if (recompute_ == Recompute::kNone) {
      tape = std::move(tapes[layer]);
    } else {
      tape = record(group, inputs[layer], true, [&](const at::Tensor& x) {
        return student.block_forward(layer, x, student_context_);
      });
      inputs[layer] = at::Tensor();
    }
    gradient = play_back(group, std::move(tape), gradient);
  }
  if (groups[0].layout().num_vectors > 0) {
    play_back(groups[0], record(groups[0], gradient, false, stem_forward), gradient);
  }
  return loss;
}

}  // namespace littlebit
