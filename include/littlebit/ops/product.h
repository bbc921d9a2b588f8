// Matrix products of models and their training. fp32 on a CPU goes through oneDNN, whose kernels
// are written for every vendor's CPUs (on AMD's they take half of MKL's time); all else is ATen's.
// Sums run over fp32 in an order that depends on the shapes. Safe from several threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// a b^T, a [m, k], b [n, k] of one type on one device; rows or columns contiguous, or a copy is
// made. Records autograd history where grad mode is on and one of them requires a gradient.
at::Tensor product_nt(const at::Tensor& a, const at::Tensor& b);

// x [m, k] times the transpose of a matrix [n, k] that never exists as a whole: piece(begin, count)
// makes its rows from `begin` on, [count, k] of x's type, 16 MiB of fp32 at a time. No gradient.
at::Tensor product_by_pieces(const at::Tensor& x, int64_t n,
                             const std::function<at::Tensor(int64_t begin, int64_t count)>& piece);

// x W^T + b: x [..., k], weight [n, k], bias [n] or undefined, of one type on one device. Records
// autograd history where grad mode is on and any of them requires a gradient.
at::Tensor affine(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// The operations themselves (src/ops/operation.h).
struct MatrixProduct {
  static constexpr char kName[] = "littlebit::product";
  static constexpr char kArguments[] = "(Tensor a, Tensor b) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static at::Tensor twin(const at::Tensor& a, const at::Tensor& b);
  static at::Tensor cpu(const at::Tensor& a, const at::Tensor& b);
  static at::Tensor autograd_cpu(const at::Tensor& a, const at::Tensor& b);
  static std::vector<OperationCase> cases();
};

struct Affine {
  static constexpr char kName[] = "littlebit::affine";
  static constexpr char kArguments[] = "(Tensor x, Tensor weight, Tensor? bias) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& bias);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& weight,
                        const std::optional<at::Tensor>& bias);
  static at::Tensor autograd_cpu(const at::Tensor& x, const at::Tensor& weight,
                                 const std::optional<at::Tensor>& bias);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
