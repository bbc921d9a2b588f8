// Rotations as complex products, one number at a time, by every instruction set.
#include "littlebit/ops/rotary.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <complex>

namespace littlebit {
namespace {

TEST_CASE("pairs are turned by their position's angle, what lies beyond stays") {
  at::manual_seed(7);
  const int64_t batch = 2, heads = 3, length = 5, size = 40;
  for (const int64_t half : {int64_t{8}, int64_t{20}}) {
    const at::Tensor angle = at::randn({length, half});
    const at::Tensor cos = angle.cos(), sin = angle.sin();
    const at::Tensor stored = at::randn({batch, length, heads, size});
    const at::Tensor x = stored.transpose(1, 2);
    const at::Tensor y = Rotary::call(x, cos, sin);
    CHECK(y.sizes() == x.sizes());
    CHECK(y.transpose(1, 2).is_contiguous());  // as x lies
    CHECK(Rotary::call(x.contiguous(), cos, sin).is_contiguous());
    CHECK(at::equal(Rotary::call(x.contiguous(), cos, sin), y));
    CHECK(at::allclose(Rotary::call(y, cos, sin, /*back=*/true), x, 1e-5, 1e-6));
    double worst = 0;
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t h = 0; h < heads; ++h) {
        for (int64_t t = 0; t < length; ++t) {
          const auto number = [&](const at::Tensor& of, int64_t i) {
            return of[b][h][t][i].item<double>();
          };
          for (int64_t i = 0; i < half; ++i) {
            const std::complex<double> pair(number(x, i), number(x, half + i));
            const auto turned = pair * std::polar(1.0, angle[t][i].item<double>());
            worst = std::max({worst, std::abs(number(y, i) - turned.real()),
                              std::abs(number(y, half + i) - turned.imag())});
          }
          for (int64_t i = 2 * half; i < size; ++i) CHECK(number(y, i) == number(x, i));
        }
      }
    }
    CHECK(worst < 1e-6);
    for (const Instructions use :
         {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
      if (use > best_instructions()) continue;
      const at::Tensor got = at::empty({batch, length, heads, size});
      const int64_t strides[3] = {length * heads * size, size, heads * size};
      RotaryJob<float> job{stored.data_ptr<float>(),
                           got.data_ptr<float>(),
                           cos.data_ptr<float>(),
                           sin.data_ptr<float>(),
                           batch,
                           heads,
                           length,
                           size,
                           half,
                           {},
                           {},
                           false};
      std::copy_n(strides, 3, job.x_strides);
      std::copy_n(strides, 3, job.y_strides);
      for (int64_t r = 0; r < job.rows(); r += 4) {
        rotate_rows(job, r, std::min(job.rows(), r + 4), use);
      }
      CHECK(at::allclose(got.transpose(1, 2), y, 1e-6, 1e-6));
    }
  }
}

}  // namespace
}  // namespace littlebit
