// The one file that includes autograd's engine (room ops includes its base of functions).
#include "littlebit/nn/autograd.h"

#include <torch/csrc/autograd/autograd.h>

namespace littlebit {

std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& outputs,
                                  const std::vector<at::Tensor>& output_gradients,
                                  const std::vector<at::Tensor>& inputs) {
  return torch::autograd::grad(outputs, inputs, output_gradients, /*retain_graph=*/false,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

}  // namespace littlebit
