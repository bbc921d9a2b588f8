// Relative differences, one number at a time, by every instruction set.
#include "littlebit/ops/relative_row_difference.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

namespace littlebit {
namespace {

TEST_CASE("a relative difference is what its numbers say, whatever the size of a row") {
  at::manual_seed(6);
  for (const int64_t cols : {1, 15, 16, 1000}) {
    constexpr int64_t kRows = 5;
    const at::Tensor size = at::tensor({1e-6F, 1.0F, 3.0F, 1e3F, 1e8F}).unsqueeze(1);
    const at::Tensor a = at::randn({kRows, cols}) * size, b = at::randn({kRows, cols}) * size;
    const at::Tensor power = b.to(at::kDouble).square().sum(1);
    const at::Tensor difference = a.to(at::kDouble) - b.to(at::kDouble);
    const at::Tensor want = difference / power.unsqueeze(1);
    const at::Tensor errors = difference.square().sum(1) / power;
    for (const Instructions use :
         {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
      if (use > best_instructions()) continue;
      INFO(cols << " columns");
      const at::Tensor direction = at::empty({kRows, cols});
      std::vector<double> error(kRows);
      relative_difference_of_rows(
          RelativeRowDifferenceJob<float>{a.data_ptr<float>(), b.data_ptr<float>(),
                                          direction.data_ptr<float>(), error.data(), kRows, cols},
          0, kRows, use);
      for (int64_t row = 0; row < kRows; ++row) {
        CHECK(error[row] == Approx(errors[row].item<double>()).epsilon(1e-5));
      }
      CHECK(at::allclose(direction.to(at::kDouble), want, /*rtol=*/1e-5, /*atol=*/0));
    }
    const RelativeRowDifferenceResult narrow = relative_row_difference(a, b, at::kBFloat16);
    CHECK(at::allclose(narrow.direction.to(at::kDouble), want, /*rtol=*/4e-3, /*atol=*/0));
    CHECK(narrow.error.item<double>() == Approx(errors.sum().item<double>()).epsilon(1e-5));
  }
}

TEST_CASE("a relative difference from zeros is finite, one from NaN is not") {
  const at::Tensor zeros = at::zeros({2, 8});
  const RelativeRowDifferenceResult none = relative_row_difference(zeros, zeros, at::kFloat);
  CHECK(none.error.item<double>() == 0);
  CHECK(at::equal(none.direction, zeros));
  const RelativeRowDifferenceResult some =
      relative_row_difference(zeros + 1e-30, zeros, at::kFloat);
  CHECK(std::isfinite(some.error.item<double>()));
  const at::Tensor wrong = at::full({2, 8}, std::numeric_limits<float>::quiet_NaN());
  CHECK(std::isnan(relative_row_difference(zeros, wrong, at::kFloat).error.item<double>()));
  CHECK(std::isnan(relative_row_difference(wrong, zeros + 1, at::kFloat).error.item<double>()));
}

}  // namespace
}  // namespace littlebit
