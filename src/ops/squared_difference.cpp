// a - b, rounded to the type in which it is kept, with the squared norm of what it was before that.
// The hidden loss needs both: the norm is the loss, the difference its gradient up to a factor. The
// parts summed have a fixed size, so that the norm does not depend on the number of threads.
#include "littlebit/ops/squared_difference.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "ops/difference_cases.h"
#include "ops/operation.h"

namespace littlebit {

SquaredDifferenceResult squared_difference(const at::Tensor& a, const at::Tensor& b,
                                           at::ScalarType dtype) {
  auto [difference, squared_norm] = dispatched<SquaredDifference>().call(a, b, dtype);
  return {std::move(difference), std::move(squared_norm)};
}

SquaredDifference::Result SquaredDifference::twin(const at::Tensor& a, const at::Tensor& b,
                                                  at::ScalarType dtype) {
  const at::Tensor difference = a - b;
  // The norm is of the difference before it is rounded, so that the loss does not depend on how the
  // difference is stored.
  return {difference.to(dtype),
          at::linalg_vector_norm(difference, 2, {}, /*keepdim=*/false, at::kDouble).square_()};
}

SquaredDifference::Result SquaredDifference::cpu(const at::Tensor& a, const at::Tensor& b,
                                                 at::ScalarType dtype) {
  if (!has_kernel(a, b, dtype)) return twin(a, b, dtype);
  return with_job(a, b, dtype, [](const auto& job) {
    at::parallel_for(0, job.parts(), 1,
                     [&](int64_t begin, int64_t end) { square_difference(job, begin, end); });
  });
}

std::vector<OperationCase> SquaredDifference::cases() {
  return difference_cases(kName, /*narrow_tolerance=*/1e-6);
}

}  // namespace littlebit
