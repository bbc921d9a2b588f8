// Matrix products of models and their training. fp32 on a CPU goes through oneDNN, whose kernels
// are written for every vendor's CPUs (on AMD's they take half of MKL's time); all else is ATen's.
// Sums run over fp32 in an order that depends on the shapes. Safe from several threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace littlebit {

// a b^T, a [m, k], b [n, k] of one type on one device; rows or columns contiguous, or a copy is
// made. No gradient.
at::Tensor product_nt(const at::Tensor& a, const at::Tensor& b);

// x [m, k] times the transpose of a matrix [n, k] that never exists as a whole: piece(begin, count)
// makes its rows from `begin` on, [count, k] of x's type, 16 MiB of fp32 at a time. No gradient.
at::Tensor product_by_pieces(const at::Tensor& x, int64_t n,
                             const std::function<at::Tensor(int64_t begin, int64_t count)>& piece);

// x W^T + b: x [..., k], weight [n, k], bias [n] or undefined, of one type on one device. Records
// autograd history (first derivatives) where grad mode is on and any of them requires a gradient.
at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

}  // namespace littlebit
