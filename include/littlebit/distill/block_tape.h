// One group's forward with autograd on a detached input, until its backward: the graph of a block
// at a time instead of one of the whole model.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "littlebit/optim/gradients.h"

namespace littlebit {

class BlockTape {
 public:
  using Forward = std::function<at::Tensor(const at::Tensor& input)>;

  BlockTape() = default;  // nothing is recorded

  // Runs `forward` on the group with its weights expanded; they are released again, the graph keeps
  // what it needs.
  static BlockTape record(StudentGroup& group, const at::Tensor& input, bool input_needs_gradient,
                          const Forward& forward);

  at::Tensor output() const { return output_.detach(); }

  // Once: gives the gradients of the group, number `group`, to `sink`, the graph being freed;
  // returns dLoss/d(input), undefined where it was not asked for.
  at::Tensor backward(const at::Tensor& output_gradient, GradientSink& sink, size_t group);

 private:
  at::Tensor input_, output_;
  std::vector<at::Tensor> leaves_;
};

}  // namespace littlebit
