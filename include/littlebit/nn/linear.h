// The linear slot: the interface between a decoder and its linear layers. `models` leaves slots
// open; DenseLinear (here) or a LittleBit layer (room quant) fills them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace littlebit {

class Linear {
 public:
  virtual ~Linear() = default;

  // x [..., d_in] in the compute dtype -> [..., d_out] in the compute dtype. Records autograd
  // history where grad mode is on and the layer's weights require gradients. Const and safe to call
  // from several threads.
  virtual at::Tensor forward(const at::Tensor& x) const = 0;

  // forward(x) of this layer and of others that read the same x, in this order: what a layer can do
  // for all of them at once. Results may be views into one tensor, with a unit column stride.
  virtual std::vector<at::Tensor> forward_beside(at::ArrayRef<const Linear*> others,
                                                 const at::Tensor& x) const;

  // What a head has beside it; other layers must not be asked. The same sums as they are, in fp32
  // where the compute dtype is bf16: a logit of 16 rounded to bf16 would be off by 0.06. Of x in
  // bf16 there is no history: one that requires a gradient is refused.
  virtual at::Tensor forward_unrounded(const at::Tensor& x) const;
  // The gradient of x [..., d_in] for dy [..., d_out], both in the compute dtype. No history.
  virtual at::Tensor input_gradient(const at::Tensor& dy) const;

  // Of a layer that is a product of two factors, forward(x) = from_latent(to_latent(x)): the width
  // of what passes between them. 0: it is none, and the functions must not be called.
  virtual int64_t latent_size() const { return 0; }
  virtual at::Tensor to_latent(const at::Tensor& x) const;         // [..., d_in] -> [..., latent]
  virtual at::Tensor from_latent(const at::Tensor& latent) const;  // [..., latent] -> [..., d_out]
};

// y = x W^T + b, W [d_out, d_in] and b [d_out] (undefined: none) in the compute dtype. Frozen. W
// may be in bf16 and x in fp32: exactly the numbers that the widened matrix holds, of which only a
// part exists at a time (none for a few rows of x on the CPU, or where has_fast_mixed_products).
class DenseLinear : public Linear {
 public:
  explicit DenseLinear(at::Tensor weight, at::Tensor bias = {})
      : weight_(std::move(weight)), bias_(std::move(bias)) {}
  at::Tensor forward(const at::Tensor& x) const override;
  at::Tensor forward_unrounded(const at::Tensor& x) const override;
  at::Tensor input_gradient(const at::Tensor& dy) const override;
  const at::Tensor& weight() const { return weight_; }
  const at::Tensor& bias() const { return bias_; }

 private:
  at::Tensor weight_, bias_;
};

}  // namespace littlebit
