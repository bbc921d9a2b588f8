// Differences over the squared norms of rows, which are a relative error's gradient, with that
// error. No gradients of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "littlebit/kernels/relative_row_difference.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

struct RelativeRowDifferenceResult {
  at::Tensor direction;  // (a - b) / ||b||^2 by rows, in `dtype`
  at::Tensor error;      // the sum over rows of ||a - b||^2 / ||b||^2; fp64, 0-dimensional
};

// a, b [..., cols] of one shape in fp32 (fp64): one pass over both. A row of b without a norm
// counts as the smallest normal float.
RelativeRowDifferenceResult relative_row_difference(const at::Tensor& a, const at::Tensor& b,
                                                    at::ScalarType dtype);

// The operation itself (src/ops/operation.h).
struct RelativeRowDifference {
  using Result = std::tuple<at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::relative_row_difference";
  static constexpr char kArguments[] = "(Tensor a, Tensor b, ScalarType dtype) -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype);
  static Result cpu(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype);
  static bool has_kernel(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype) {
    return a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat &&
           a.sizes() == b.sizes() && a.dim() > 0 && (dtype == at::kFloat || dtype == at::kBFloat16);
  }
  template <class Run>
  static Result with_job(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype,
                         const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
RelativeRowDifference::Result RelativeRowDifference::with_job(const at::Tensor& a,
                                                              const at::Tensor& b,
                                                              at::ScalarType dtype,
                                                              const Run& run) {
  const at::Tensor from = a.contiguous(), other = b.contiguous();
  const at::Tensor direction = from.new_empty(from.sizes(), from.options().dtype(dtype));
  const int64_t cols = from.size(-1), rows = cols == 0 ? 0 : from.numel() / cols;
  const at::Tensor error = from.new_empty({rows}, from.options().dtype(at::kDouble));
  const auto job = [&]<class D>(D /*element*/) {
    run(RelativeRowDifferenceJob<D>{.a = elements<float>(from),
                                    .b = elements<float>(other),
                                    .direction = mutable_elements<D>(direction),
                                    .error = mutable_elements<double>(error),
                                    .rows = rows,
                                    .cols = cols});
  };
  dtype == at::kFloat ? job(float()) : job(uint16_t());
  return {direction, error.sum()};
}

}  // namespace littlebit
