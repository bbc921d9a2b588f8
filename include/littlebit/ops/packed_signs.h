// A matrix of signs as inference keeps it: bits, and nothing dense. Chooses between the operations
// on bits by device and shape. No autograd; immutable.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace littlebit {

// In the layout that its device multiplies fastest: interleaved on the CPU, rows one behind the
// other elsewhere.
class PackedSigns {
 public:
  PackedSigns() = default;
  // From the rows as the packed format stores them: int32 [rows, ceil(cols / 32)], on the CPU.
  PackedSigns(const at::Tensor& padded_words, int64_t cols, at::Device device);

  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  int64_t bytes() const { return static_cast<int64_t>(words_.nbytes()); }

  // Rows of x up to which multiply() is the fastest way on any CPU.
  static constexpr int64_t kFewRows = 8;

  // Whether multiply() is there, and faster than expansion and a matrix product, where `rows` rows
  // are computed in `dtype`.
  bool multiplies(int64_t rows, at::ScalarType dtype) const;

  // x [M, cols] fp32 -> (x * scale) S^T, fp32 [M, rows], from the bits. scale [cols] fp32 or
  // undefined. Threads of ATen's pool where it is worth it.
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

}  // namespace littlebit
