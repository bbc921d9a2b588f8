// a - b, rounded to the type in which it is kept, with the squared norm of what it was before that.
// The hidden loss needs both: the norm is the loss, the difference its gradient up to a factor. The
// parts summed have a fixed size, so that the norm does not depend on the number of threads.
#include "littlebit/ops/squared_difference.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "ops/made_numbers.h"
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
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t cols, at::ScalarType type, at::ScalarType stored,
                       bool timed) {
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(rows) + " x " + std::to_string(cols) +
                  (stored != type ? std::string(", stored as ") + c10::toString(stored) : ""),
         .dtype = type,
         .tolerance = type == at::kFloat ? 1e-6 : 1e-14,
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
