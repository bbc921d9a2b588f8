// A matrix of signs as inference keeps it: bits, and nothing dense. Chooses between the operations
// on bits by device and shape. No autograd; immutable.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace littlebit {

// In the interleaved layout of kernels/sign_product.h on every device.
class PackedSigns {
 public:
  PackedSigns() = default;
  // From the rows as the packed format stores them: int32 [rows, ceil(cols / 32)], on the CPU.
  PackedSigns(const at::Tensor& padded_words, int64_t cols, at::Device device);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t bytes() const { return static_cast<int64_t>(words_.nbytes()); }

  // Rows of x up to which products from the bits are the fastest way on any device.
  static constexpr int64_t kFewRows = 8;

  // Whether multiply_packed_signs() is there, and faster than expansion and a matrix product, where
  // `rows` rows are computed in `dtype`.
  bool multiplies(int64_t rows, at::ScalarType dtype) const;

  // int32, flat.
  const at::Tensor& words() const { return words_; }

  // out [row_end - row_begin, cols] (unit column stride; fp32, fp64 or bf16) = those rows' signs
  // times row_scale [rows] or column_scale [cols] of the same dtype, at most one defined.
  void expand_into(const at::Tensor& out, int64_t row_begin, const at::Tensor& row_scale,
                   const at::Tensor& column_scale) const;

 private:
  at::Tensor words_;
  int64_t rows_ = 0, cols_ = 0;
};

// One of the sums that multiply_packed_signs() makes: a column of the result for each row of the
// signs, the sum over terms of ((x * in_scale) S^T) * out_scale, plus bias [rows].
struct SignedSum {
  struct Term {
    const PackedSigns* signs;
    int64_t begin;         // of x, the first of the columns that it reads
    at::Tensor in_scale;   // [cols]; undefined: ones, in all terms of a call
    at::Tensor out_scale;  // [rows]
  };
  std::vector<Term> terms;  // one or two, in each sum of a call as many, of as many rows
  at::Tensor bias;          // undefined: none, in all sums of a call
};

// x [M, K] in fp32 or bf16 -> the sums side by side, of its type, from the bits: a launch for all
// of them on a GPU, threads of ATen's pool on the CPU where it is worth it. fp32 sums; scales and
// biases in fp32.
at::Tensor multiply_packed_signs(const at::Tensor& x, const std::vector<SignedSum>& sums);

}  // namespace littlebit
