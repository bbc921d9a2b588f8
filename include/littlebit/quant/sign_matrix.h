// The compute copy of a binary factor: one bit per latent, no latents. Hides the bit layout
// (kernels/signs.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/ops/expand_sign_matrices.h"

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

  const at::Tensor& words() const { return words_; }  // the whole buffer
  int64_t first_bit() const { return first_bit_; }

  // The rows as the packed export stores them: int32 [rows, ceil(cols / 32)], padding bits 0.
  at::Tensor padded_words() const;
  void set_from_padded_words(const at::Tensor& padded);  // the inverse

 private:
  at::Tensor words_;
  int64_t first_bit_ = 0, rows_ = 0, cols_ = 0;
};

// Expansions that are asked for one by one and made together.
class SignExpansionList {
 public:
  explicit SignExpansionList(at::ScalarType dtype) : dtype_(dtype) {}

  // out, a view as expand_into takes it, of the list's type = the matrix times the scales of that
  // side, of any type. Tensors and matrix are kept until run().
  void add(const SignMatrix& matrix, const at::Tensor& out, ScaledSide side,
           const at::Tensor& scale);
  // Makes all that were added, each run of one buffer's matrices by one operation.
  void run();

 private:
  at::ScalarType dtype_;
  std::vector<SignMatrix> matrices_;
  std::vector<at::Tensor> outs_, scales_;
  std::vector<ScaledSide> sides_;
};

}  // namespace littlebit
