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
  // A leaf of its own: the graph ends at the group's input, where the caller goes on by hand.
  tape.input_ = input.detach().set_requires_grad(input_needs_gradient);
  tape.output_ = forward(tape.input_);
  tape.leaves_ = group.leaves();
  // The graph holds what the backward pass needs of the weights; the layers let go of the rest.
  group.release();
  return tape;
}

at::Tensor BlockTape::backward(const at::Tensor& output_gradient, GradientSink& sink,
                               size_t group) {
  // The tape is used up: whatever happens below, this object keeps nothing alive.
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
  // The graph and its activations go before the sink takes the gradients, which may need memory.
  tape = {};
  sink.add(group, results);
  return input_gradient;
}

}  // namespace littlebit
