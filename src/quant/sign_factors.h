// A LittleBit layer's forward pass by products with signs as they are: where such a product is
// faster than one of two fp32 matrices (ops/scaled_product.h). Scales go onto activations, which
// rounds each of them once, as scaling a weight does.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "littlebit/quant/littlebit_linear.h"

namespace littlebit {

struct SignFactors {
  at::Tensor V, U;               // bf16: [R, d_in], [d_out, R], of all paths
  std::vector<at::Tensor> g, h;  // of each path: v2 [d_in], u1 [d_out], fp32
};
SignFactors expand_factors(std::span<const SignPath> paths);

// x [..., d_in] fp32 -> [..., d_out], without the bias. Records autograd history where grad mode is
// on and x or a weight requires a gradient; of `weights`, W1 and W2 are never read: their gradients
// are those of the matrices that they stand for.
at::Tensor sign_product(const at::Tensor& x, const SignFactors& factors,
                        const LittleBitLinear::Weights& weights);

}  // namespace littlebit
