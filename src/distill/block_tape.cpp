// Autograd sees one group: what it differentiates by is the group's expanded weights and the input.
#include "littlebit/distill/block_tape.h"

#include <c10/core/GradMode.h>

#include <utility>

#include "littlebit/nn/autograd.h"

namespace littlebit {

BlockTape BlockTape::record(StudentGroup& group, const at::Tensor& input, bool input_needs_gradient,
                            const Forward& forward) {
  c10::AutoGradMode with_grad(true);
  group.materialize(/*differentiable=*/true);
  BlockTape tape;
  tape.input_ = input.detach().set_requires_grad(input_needs_gradient);
  tape.output_ = forward(tape.input_);
  tape.leaves_ = group.leaves();
  group.release();
  return tape;
}

at::Tensor BlockTape::backward(const at::Tensor& output_gradient, GradientSink& sink,
                               size_t group) {
  BlockTape tape = std::move(*this);
  *this = {};
  const bool with_input = tape.input_.requires_grad();
  if (with_input) tape.leaves_.push_back(tape.input_);
  if (tape.leaves_.empty()) return {};
  std::vector<at::Tensor> results =
      littlebit::gradients({tape.output_}, {output_gradient}, tape.leaves_);
  at::Tensor input_gradient;
  if (with_input) {
    input_gradient = results.back();
    results.pop_back();
  }
  tape = {};
  sink.add(group, results);
  return input_gradient;
}

}  // namespace littlebit
