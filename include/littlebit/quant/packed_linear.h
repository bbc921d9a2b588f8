// A LittleBit layer for inference: signs in the layout that products straight from bits want
// (ops/packed_signs.h), and nothing dense. Rows of x are multiplied from the bits where that is
// the fastest; else a piece of a factor at a time is expanded and given to a matrix product. No
// autograd; immutable.
//
// Of path p: y += h * (((x * g) V^T) * l) U^T with h = u1, l = v1 * u2, g = v2
// (littlebit_linear.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "littlebit/nn/linear.h"
#include "littlebit/ops/packed_signs.h"

namespace littlebit {

struct PackedPath {
  PackedSigns U, V;    // [d_out, r], [r, d_in]
  at::Tensor h, l, g;  // [d_out], [r], [d_in] in fp32 (fp64 where the compute dtype is)
};

class PackedLinear : public Linear {
 public:
  PackedLinear(std::string name, std::vector<PackedPath> paths, at::Tensor bias,
               at::ScalarType compute_dtype);

  at::Tensor forward(const at::Tensor& x) const override;
  // Where rows of x are multiplied from the bits, and the others are packed layers with as many
  // paths: each factor of all layers at once.
  std::vector<at::Tensor> forward_beside(at::ArrayRef<const Linear*> others,
                                         const at::Tensor& x) const override;
  int64_t latent_size() const override;  // both paths' ranks
  at::Tensor to_latent(const at::Tensor& x) const override;
  at::Tensor from_latent(const at::Tensor& latent) const override;

  const std::string& name() const { return name_; }
  const std::vector<PackedPath>& paths() const { return paths_; }
  const at::Tensor& bias() const { return bias_; }
  int64_t bytes() const;  // of signs, scales and bias in memory

 private:
  // Side by side, from the bits: the latents for rows of x, and what follows from them.
  static at::Tensor latents_of(at::ArrayRef<const PackedLinear*> layers, const at::Tensor& rows);
  static at::Tensor results_of(at::ArrayRef<const PackedLinear*> layers, const at::Tensor& latents);

  bool from_bits(const at::Tensor& x) const;
  bool in_signs(const at::Tensor& x) const;

  std::string name_;
  std::vector<PackedPath> paths_;
  at::Tensor bias_;
  at::ScalarType compute_dtype_;
};

}  // namespace littlebit
