// Squared differences, one number at a time, by every instruction set.
#include "littlebit/ops/squared_difference.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <vector>

namespace littlebit {
namespace {

TEST_CASE("a squared difference is what its numbers say, across the borders of parts") {
  at::manual_seed(6);
  constexpr int64_t kPart = SquaredDifferenceJob<float>::kPart;
  for (const int64_t count : {int64_t{1}, int64_t{1000}, kPart, kPart + 1, 3 * kPart - 7}) {
    const at::Tensor a = at::randn({count}), b = at::randn({count});
    double want = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double difference = double{a.data_ptr<float>()[i]} - b.data_ptr<float>()[i];
      want += difference * difference;
    }
    for (const Instructions use :
         {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
      if (use > best_instructions()) continue;
      INFO(count << " numbers");
      const at::Tensor difference = at::empty({count});
      SquaredDifferenceJob<float> job{a.data_ptr<float>(), b.data_ptr<float>(),
                                      difference.data_ptr<float>(), nullptr, count};
      std::vector<double> partial(static_cast<size_t>(job.parts()));
      job.partial = partial.data();
      square_difference(job, 0, job.parts(), use);
      double got = 0;
      for (const double part : partial) got += part;
      CHECK(got == Approx(want).epsilon(1e-6));
      CHECK(at::equal(difference, a - b));
    }
    const SquaredDifferenceResult narrow = squared_difference(a, b, at::kBFloat16);
    CHECK(at::equal(narrow.difference, (a - b).to(at::kBFloat16)));
    CHECK(narrow.squared_norm.item<double>() == Approx(want).epsilon(1e-6));
  }
}

}  // namespace
}  // namespace littlebit
