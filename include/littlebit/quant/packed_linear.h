// A LittleBit layer for inference: signs in the layout that products straight from bits want
// (kernels/sign_product.h), and nothing dense. Rows of x are multiplied from the bits where that is
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

namespace littlebit {

// A binary factor: interleaved on the CPU, rows one behind the other (SignMatrix) elsewhere.
class PackedSigns {
 public:
  PackedSigns() = default;
  // From the rows as the packed format stores them: int32 [rows, ceil(cols / 32)], on the CPU.
  PackedSigns(const at::Tensor& padded_words, int64_t cols, at::Device device);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t bytes() const { return static_cast<int64_t>(words_.nbytes()); }

  // x [M, cols] fp32 -> (x * scale) S^T, fp32 [M, rows], from the bits. scale [cols] fp32 or
  // undefined. CPU; threads of ATen's pool where it is worth it.
  at::Tensor multiply(const at::Tensor& x, const at::Tensor& scale) const;

  // out [row_end - row_begin, cols] (unit column stride; fp32, fp64 or bf16) = those rows' signs
  // times row_scale [rows] or column_scale [cols] of the same dtype, at most one defined.
  void expand_into(const at::Tensor& out, int64_t row_begin, const at::Tensor& row_scale,
                   const at::Tensor& column_scale) const;

 private:
  at::Tensor words_;
  int64_t rows_ = 0, cols_ = 0;
  bool interleaved_ = true;
};

struct PackedPath {
  PackedSigns U, V;    // [d_out, r], [r, d_in]
  at::Tensor h, l, g;  // [d_out], [r], [d_in] in fp32 (fp64 where the compute dtype is)
};

class PackedLinear : public Linear {
 public:
  PackedLinear(std::string name, std::vector<PackedPath> paths, at::Tensor bias,
               at::ScalarType compute_dtype);

  at::Tensor forward(const at::Tensor& x) const override;
  int64_t latent_size() const override;  // both paths' ranks
  at::Tensor to_latent(const at::Tensor& x) const override;
  at::Tensor from_latent(const at::Tensor& latent) const override;

  // Rows of x up to which products are taken from the bits in any case on the CPU.
  static constexpr int64_t kFewRows = 8;

  const std::string& name() const { return name_; }
  const std::vector<PackedPath>& paths() const { return paths_; }
  const at::Tensor& bias() const { return bias_; }
  int64_t bytes() const;  // of signs, scales and bias in memory

 private:
  bool from_bits(const at::Tensor& x) const;

  std::string name_;
  std::vector<PackedPath> paths_;
  at::Tensor bias_;
  at::ScalarType compute_dtype_;
};

}  // namespace littlebit
