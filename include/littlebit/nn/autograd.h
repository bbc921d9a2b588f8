// The only access to autograd's engine, whose headers are slow to compile.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace littlebit {

// d(sum_i <outputs[i], output_gradients[i]>) / d(inputs), one tensor per input. Frees the graph. An
// undefined tensor stands for an input that the outputs do not depend on. Throws at's errors only
// (our bugs).
std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& outputs,
                                  const std::vector<at::Tensor>& output_gradients,
                                  const std::vector<at::Tensor>& inputs);

}  // namespace littlebit
