// The direction in which a relative error grows, and the error itself: what a hidden loss needs
// that no position outweighs by the size of its states. A row's norms are in fp32, the sum over
// rows in fp64, so that neither depends on the number of threads.
#include "littlebit/ops/relative_row_difference.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <limits>

#include "ops/made_numbers.h"
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
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t cols, at::ScalarType type, at::ScalarType stored,
                       bool timed) {
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(rows) + " x " + std::to_string(cols) +
                  (stored != type ? std::string(", stored as ") + c10::toString(stored) : ""),
         .dtype = type,
         // Sums in another order may round the other way to bf16.
         .tolerance = stored == at::kBFloat16 ? 1e-3
                      : type == at::kFloat    ? 1e-6
                                              : 1e-14,
         .bytes = static_cast<double>(rows * cols) *
                  static_cast<double>(2 * c10::elementSize(type) + c10::elementSize(stored)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           return torch::jit::Stack{made_numbers("a", {rows, cols}).to(device, type),
                                    made_numbers("b", {rows, cols}).to(device, type), stored};
         }});
  };
  for (const auto& [type, stored] :
       {std::pair{at::kFloat, at::kFloat}, std::pair{at::kFloat, at::kBFloat16},
        std::pair{at::kDouble, at::kDouble}}) {
    for (const auto& [rows, cols] :
         {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {7, 203}, {130, 301}}) {
      add(rows, cols, type, stored, /*timed=*/false);
    }
    if (type == at::kFloat) add(2048, 512, type, stored, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
