// The direction in which a relative error grows, and the error itself: what a hidden loss needs
// that no position outweighs by the size of its states. A row's norms are in fp32, the sum over
// rows in fp64, so that neither depends on the number of threads.
#include "littlebit/ops/relative_row_difference.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <limits>

#include "ops/difference_cases.h"
#include "ops/operation.h"

namespace littlebit {

RelativeRowDifferenceResult relative_row_difference(const at::Tensor& a, const at::Tensor& b,
                                                    at::ScalarType dtype) {
  auto [direction, error] = dispatched<RelativeRowDifference>().call(a, b, dtype);
  return {std::move(direction), std::move(error)};
}

RelativeRowDifference::Result RelativeRowDifference::twin(const at::Tensor& a, const at::Tensor& b,
                                                          at::ScalarType dtype) {
  const at::Tensor difference = a - b;
  const at::Tensor power = b.square().sum(-1, /*keepdim=*/true);
  const at::Tensor direction = difference / power.clamp_min_(std::numeric_limits<float>::min());
  return {direction.to(dtype), (difference * direction).sum(at::kDouble)};
}

RelativeRowDifference::Result RelativeRowDifference::cpu(const at::Tensor& a, const at::Tensor& b,
                                                         at::ScalarType dtype) {
  if (!has_kernel(a, b, dtype)) return twin(a, b, dtype);
  return with_job(a, b, dtype, [](const auto& job) {
    constexpr int64_t kRowsOfTask = 16;
    at::parallel_for(0, job.rows, kRowsOfTask, [&](int64_t begin, int64_t end) {
      relative_difference_of_rows(job, begin, end);
    });
  });
}

std::vector<OperationCase> RelativeRowDifference::cases() {
  // Sums in another order may round the other way to bf16.
  return difference_cases(kName, /*narrow_tolerance=*/1e-3);
}

}  // namespace littlebit
