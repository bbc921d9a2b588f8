// The schedule of docs/architecture.md, "The step", for one micro-batch. It is no single autograd
// graph, because that would hold the expanded weights and activations of all blocks at once: each
// group is run again under its own tape when the backward pass reaches it. Invariant: a group's
// weights are expanded only between materialize() and release() or inside its tape, and losses stay
// on the device, so that nothing here waits for it.
#include "littlebit/distill/step.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <utility>
#include <vector>

#include "host_stack.h"
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
                                   const DistillOptions& options, Recompute recompute,
                                   const KeptInputs& inputs)
    : teacher_(teacher),
      student_(student),
      options_(options),
      recompute_(recompute),
      inputs_(inputs),
      waiting_(std::make_unique<HostStack>(student.decoder().device(),
                                           inputs.place == InputsPlace::kCpu)) {
  LB_ASSERT(recompute != Recompute::kAuto, "somebody has decided");
}

DistillationStep::~DistillationStep() = default;

BlockTape DistillationStep::record_block(int64_t layer, const at::Tensor& input) {
  return BlockTape::record(student_.groups()[layer + 1], input, /*input_needs_gradient=*/true,
                           [&](const at::Tensor& x) {
                             return student_.decoder().block_forward(layer, x, student_context_);
                           });
}

// Counts are those of the whole step: micro-batches and processes only add up.
//     mean_square   the sum of squares / (B T width)
//     relative      the sum over positions of ||s - t||^2 / ||t||^2, divided as the KL is, so that
//                   both grow alike with the length
HiddenTerm DistillationStep::hidden_term(const at::Tensor& student_h, const at::Tensor& teacher_h,
                                         const Counts& counts, at::ScalarType dtype) const {
  if (options_.hidden == HiddenLoss::kRelative) {
    const double scale = options_.hidden_weight / counts.divisor(options_.normalization);
    return relative_error(student_h, teacher_h, scale, dtype);
  }
  const double numbers = counts.tokens * static_cast<double>(student_h.size(-1));
  return squared_error(student_h, teacher_h, options_.hidden_weight / numbers, dtype);
}

// 1. Embedding and blocks in lockstep. Kept per block: the student's input (or graph), and the
// direction of its output's hidden term.
DistillationStep::Ends DistillationStep::run_blocks(const at::Tensor& ids_bt, const Counts& counts,
                                                    std::vector<KeptBlock>& kept,
                                                    DistillationLoss& loss) {
  const Decoder& student = student_.decoder();
  std::vector<StudentGroup>& groups = student_.groups();
  const auto num_layers = static_cast<int64_t>(kept.size());
  // Rounded after the subtraction, which is in fp32: a difference loses less than the states would.
  const bool is_narrow = inputs_.type == BlockInputs::kBf16;
  const at::ScalarType direction_type = is_narrow ? at::kBFloat16 : student.compute_dtype();
  Ends ends;
  begin(StepPart::kTeacher);
  // The student's embedding has the same frozen table, but a projection of its own (OPT's
  // project_in).
  ends.teacher_h = teacher_.embedding_forward(ids_bt);
  begin(StepPart::kStudent);
  groups[0].materialize(false);  // without autograd: the backward pass runs it again
  ends.student_h = student.embedding_forward(ids_bt);
  groups[0].release();
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    KeptBlock& block = kept[layer];
    at::Tensor input;
    begin(StepPart::kTeacher);
    ends.teacher_h = teacher_.block_forward(layer, ends.teacher_h, teacher_context_);
    begin(StepPart::kStudent);
    if (recompute_ == Recompute::kNone) {
      // Without recomputation the graph is kept, and with it the expanded weights and all
      // activations.
      block.tape = record_block(layer, ends.student_h);
      ends.student_h = block.tape.output();
    } else {
      StudentGroup& group = groups[layer + 1];
      input = is_narrow ? ends.student_h.to(at::kBFloat16) : ends.student_h;
      // Without autograd, whose graph would be thrown away: only the input is kept.
      group.materialize(false);
      ends.student_h = student.block_forward(layer, ends.student_h, student_context_);
      group.release();
    }
    begin(StepPart::kLoss);
    HiddenTerm hidden;
    if (layer + 1 < num_layers) {  // the last block's output is compared behind the tail
      hidden = hidden_term(ends.student_h, ends.teacher_h, counts, direction_type);
      loss.hidden.add_(hidden.loss);
      block.hidden_factor = hidden.factor;
    }
    waiting_->push({std::move(input), std::move(hidden.direction)});
  }
  return ends;
}

// 2. Tail and loss; returns the gradient at the last block's output. What the tail reads and gives
// is let go of with it.
at::Tensor DistillationStep::run_tail(Ends ends, const Counts& counts, DistillationLoss& loss,
                                      GradientSink& sink) {
  const Decoder& student = student_.decoder();
  const size_t tail_group = student_.groups().size() - 1;
  // States move from name to name: at this point memory is at its peak (all block inputs wait, and
  // the logits come), and what was read for the last time must not live through it.
  at::Tensor teacher_z = teacher_.tail_forward(std::exchange(ends.teacher_h, {}));
  BlockTape tail = BlockTape::record(
      student_.groups()[tail_group], std::exchange(ends.student_h, {}),
      /*input_needs_gradient=*/true, [&](const at::Tensor& x) { return student.tail_forward(x); });
  at::Tensor student_z = tail.output();
  HiddenTerm last = hidden_term(student_z, teacher_z, counts, student_z.scalar_type());
  loss.hidden.add_(last.loss);
  // The gradient at what the head reads: the KL's is added to the hidden term's in place. The head
  // is frozen, so no graph goes through it.
  const at::Tensor dz = last.direction.mul_(last.factor);
  const double scale = options_.kl_weight / counts.divisor(options_.normalization);
  loss.kl =
      kl_divergence(teacher_, student, as_rows(teacher_z), as_rows(student_z), scale, as_rows(dz))
          .mul_(scale);
  teacher_z.reset();
  student_z.reset();
  begin(StepPart::kBackward);
  return tail.backward(dz, sink, tail_group);
}

DistillationLoss DistillationStep::accumulate(const at::Tensor& ids, int64_t global_sequences,
                                              std::span<GroupGradients> gradients) {
  GradientSums sums(gradients);
  return accumulate(ids, global_sequences, sums);
}

DistillationLoss DistillationStep::accumulate(const at::Tensor& ids, int64_t global_sequences,
                                              GradientSink& sink) {
  c10::NoGradGuard no_grad;
  const Decoder& student = student_.decoder();
  const at::Tensor ids_bt = ids.to(student.device());
  const int64_t length = ids_bt.size(1), num_layers = student.spec().num_layers;
  // Rotations and masks depend on the length alone.
  if (teacher_context_.length != length) {
    teacher_context_ = teacher_.context(length);
    student_context_ = student.context(length);
  }
  const auto sequences = static_cast<double>(global_sequences);
  const Counts counts{.sequences = sequences, .tokens = sequences * static_cast<double>(length)};
  DistillationLoss loss;
  loss.hidden = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(student.device()));
  // Left by a call that a stop or an error ended in the middle.
  waiting_->clear();
  std::vector<KeptBlock> kept(static_cast<size_t>(num_layers));
  at::Tensor gradient = run_tail(run_blocks(ids_bt, counts, kept, loss), counts, loss, sink);

  // 3. Back through blocks and embedding; each adds its own hidden term's gradient to what comes
  // from above.
  for (int64_t layer = num_layers - 1; layer >= 0; --layer) {
    KeptBlock block = std::move(kept[layer]);
    auto [input, direction] = waiting_->pop();
    if (direction.defined()) {  // not the last block's
      // d loss / d output = what comes from above + 2 weight (student - teacher) / count.
      gradient = gradient.add(std::exchange(direction, {}), block.hidden_factor);
    }
    if (input.defined()) {  // not with Recompute::kNone, whose tape was kept
      block.tape = record_block(layer, std::exchange(input, {}).to(student.residual_dtype()));
    }
    gradient = block.tape.backward(gradient, sink, layer + 1);
  }
  StudentGroup& embedding = student_.groups()[0];
  // Only OPT's project_in trains here; embeddings are frozen. Ids have no gradient: `gradient`
  // stands in for an input that nobody reads.
  if (!embedding.layout().is_empty()) {
    BlockTape::record(embedding, gradient, /*input_needs_gradient=*/false, [&](const at::Tensor&) {
      return student.embedding_forward(ids_bt);
    }).backward(gradient, sink, 0);
  }
  return loss;
}

}  // namespace littlebit
