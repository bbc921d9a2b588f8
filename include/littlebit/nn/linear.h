// The linear slot: the seam between a decoder and what fills it. `models` leaves slots open;
// DenseLinear (here) or a LittleBit layer (room quant) fills them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

class Linear {
 public:
  virtual ~Linear() = default;

  // x [..., d_in] in the compute dtype -> [..., d_out] in the compute dtype. Records autograd
  // history where grad mode is on and the layer's weights require gradients. Const and safe to call
  // from several threads.
  virtual at::Tensor forward(const at::Tensor& x) const = 0;

  // Of a layer that is a product of two factors, forward(x) = from_latent(to_latent(x)): the width
  // of what passes between them. 0: it is none, and the functions must not be called.
  virtual int64_t latent_size() const { return 0; }
  virtual at::Tensor to_latent(const at::Tensor& x) const;         // [..., d_in] -> [..., latent]
  virtual at::Tensor from_latent(const at::Tensor& latent) const;  // [..., latent] -> [..., d_out]
};

// y = x W^T + b, W [d_out, d_in] and b [d_out] (undefined: none) in the compute dtype. Frozen.
class DenseLinear : public Linear {
 public:
  DenseLinear(at::Tensor weight, at::Tensor bias)
      : weight_(std::move(weight)), bias_(std::move(bias)) {}
  at::Tensor forward(const at::Tensor& x) const override;
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }

 private:
  at::Tensor weight_, bias_;
};

// x [..., d_in] fp32 times the transpose of `weight` [d_out, d_in] in bf16, summed in fp32: exactly
// the numbers that the widened matrix holds, of which only a part exists at a time (none for a few
// rows of x on the CPU). No autograd.
at::Tensor linear_as_stored(const at::Tensor& x, const at::Tensor& weight);

// The same for x in bf16: the products' fp32 sums as they are, [..., d_out] in fp32. A logit of 16
// rounded to bf16 would be off by 0.06.
at::Tensor linear_widened(const at::Tensor& x, const at::Tensor& weight);

}  // namespace littlebit
