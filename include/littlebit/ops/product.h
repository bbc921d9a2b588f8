// Matrix products of models and their training. fp32 on a CPU goes through oneDNN, whose kernels
// are written for every vendor's CPUs (on AMD's they take half of MKL's time); all else is ATen's.
// Sums run over fp32 in an order that depends on the shapes. Safe from several threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// a b^T, a [m, k], b [n, k] of one type on one device; rows or columns contiguous, or a copy is
// made. b may be in bf16 beside a in fp32: the product with exactly the numbers that the widened b
// holds (nothing of it is widened where has_fast_mixed_products). Records autograd history where
// grad mode is on and one of them requires a gradient.
at::Tensor matmul_nt(const at::Tensor& a, const at::Tensor& b);

// Whether fp32 by bf16 on this device is faster than fp32 by fp32, and rounds no more: three
// products of bf16 tiles instead of one of fp32 (ops/split_product.h).
bool has_fast_mixed_products(at::Device device);

// x [m, k] times the transpose of a matrix [n, k] that never exists as a whole: piece(begin, count)
// makes its rows from `begin` on, [count, k] of x's type, 16 MiB of fp32 at a time. No gradient.
at::Tensor chunked_matmul(const at::Tensor& x, int64_t n,
                          const std::function<at::Tensor(int64_t begin, int64_t count)>& piece);
// The numbers, of x's type, that it holds beside x [m, k] and its result.
int64_t chunked_matmul_numbers(int64_t m, int64_t n, int64_t k);

// The operation itself (src/ops/operation.h).
struct MatrixProduct {
  static constexpr char kName[] = "littlebit::product";
  static constexpr char kArguments[] = "(Tensor a, Tensor b) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static at::Tensor twin(const at::Tensor& a, const at::Tensor& b);
  static at::Tensor cpu(const at::Tensor& a, const at::Tensor& b);
  // Whether `cpu` has a way of its own for these: elsewhere it is the twin, and ATen records it.
  static bool is_faster(const at::Tensor& a, const at::Tensor& b);
  static at::Tensor autograd_cpu(const at::Tensor& a, const at::Tensor& b);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
