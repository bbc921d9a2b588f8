// A difference, which is a squared error's gradient, with its squared norm. No gradients of its
// own.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "littlebit/kernels/squared_difference.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

struct SquaredDifferenceResult {
  at::Tensor difference;    // a - b in `dtype`
  at::Tensor squared_norm;  // of what it was before it was rounded; fp64, 0-dimensional
};

// a, b of one shape in fp32 (fp64): one pass over both.
SquaredDifferenceResult squared_difference(const at::Tensor& a, const at::Tensor& b,
                                           at::ScalarType dtype);

// The operation itself (src/ops/operation.h).
struct SquaredDifference {
  using Result = std::tuple<at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::squared_difference";
  static constexpr char kArguments[] = "(Tensor a, Tensor b, ScalarType dtype) -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype);
  static Result cpu(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype);
  static bool has_kernel(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype) {
    return a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat &&
           a.sizes() == b.sizes() && (dtype == at::kFloat || dtype == at::kBFloat16);
  }
  template <class Run>
  static Result with_job(const at::Tensor& a, const at::Tensor& b, at::ScalarType dtype,
                         const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
SquaredDifference::Result SquaredDifference::with_job(const at::Tensor& a, const at::Tensor& b,
                                                      at::ScalarType dtype, const Run& run) {
  const at::Tensor from = a.contiguous(), other = b.contiguous();
  const at::Tensor difference = from.new_empty(from.sizes(), from.options().dtype(dtype));
  at::Tensor partial;
  const auto job = [&]<class D>(D /*element*/) {
    SquaredDifferenceJob<D> each{.a = elements<float>(from),
                                 .b = elements<float>(other),
                                 .difference = mutable_elements<D>(difference),
                                 .partial = nullptr,
                                 .count = from.numel()};
    partial = from.new_empty({each.parts()}, from.options().dtype(at::kDouble));
    each.partial = mutable_elements<double>(partial);
    run(each);
  };
  dtype == at::kFloat ? job(float()) : job(uint16_t());
  return {difference, partial.sum()};
}

}  // namespace littlebit
