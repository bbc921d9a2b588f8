// What squared_difference and relative_row_difference are both tried on.
#include "ops/difference_cases.h"

#include <string>
#include <utility>

#include "ops/made_numbers.h"

namespace littlebit {

std::vector<OperationCase> difference_cases(const char* operation, double narrow_tolerance) {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t cols, at::ScalarType type, at::ScalarType stored,
                       bool timed) {
    cases.push_back(
        {.operation = operation,
         .shape = std::to_string(rows) + " x " + std::to_string(cols) +
                  (stored != type ? std::string(", stored as ") + c10::toString(stored) : ""),
         .dtype = type,
         .tolerance = stored == at::kBFloat16 ? narrow_tolerance
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
