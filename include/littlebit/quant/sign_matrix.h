// The compute copy of a binary factor: one bit per latent, no latents. Hides the bit layout
// (kernels/signs.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

// Bits first .. first + rows * cols of `words` (int32, shared storage: the group's flat bit
// buffer).
class SignMatrix {
 public:
  SignMatrix() = default;
  SignMatrix(at::Tensor words, int64_t first_bit, int64_t rows, int64_t cols);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // out [rows, cols] (a strided view with unit column stride is fine; fp32, fp64 or bf16) = the
  // signs times row_scale [rows] or column_scale [cols] (at most one defined, out's dtype).
  void expand_into(const at::Tensor& out, const at::Tensor& row_scale,
                   const at::Tensor& column_scale) const;

  // The rows as the packed export stores them: int32 [rows, ceil(cols / 32)], padding bits 0.
  at::Tensor padded_words() const;
  void set_from_padded_words(const at::Tensor& padded);  // the inverse

 private:
  at::Tensor words_;
  int64_t first_bit_ = 0, rows_ = 0, cols_ = 0;
};

}  // namespace littlebit
