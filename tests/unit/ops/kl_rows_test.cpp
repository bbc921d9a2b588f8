// KL divergences against the formula, one number at a time in fp64, by every instruction set.
#include "littlebit/ops/kl_rows.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

namespace littlebit {
namespace {

struct Exact {
  double loss = 0;
  std::vector<double> gradient;
};

Exact kl_by_formula(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                    double scale) {
  const auto probabilities = [&](const at::Tensor& logits) {
    std::vector<double> p;
    double sum = 0, most = -INFINITY;
    for (int64_t c = 0; c < logits.numel(); ++c) {
      const double x = logits[c].item<float>();
      p.push_back(softcap > 0 ? softcap * std::tanh(x / softcap) : x);
      most = std::max(most, p.back());
    }
    for (double& z : p) sum += z = std::exp(z - most);
    for (double& z : p) z /= sum;
    return p;
  };
  const std::vector<double> p = probabilities(teacher), q = probabilities(student);
  Exact exact;
  for (size_t c = 0; c < p.size(); ++c) {
    if (p[c] > 0) exact.loss += p[c] * std::log(p[c] / q[c]);
    const double tanh = std::tanh(student[static_cast<int64_t>(c)].item<float>() / softcap);
    exact.gradient.push_back(scale * (q[c] - p[c]) * (softcap > 0 ? 1 - tanh * tanh : 1));
  }
  return exact;
}

TEST_CASE("the KL of rows and its derivative are their formulas, by every instruction set") {
  at::manual_seed(5);
  for (const int64_t cols : {1, 7, 16, 1000, 1025, 2500}) {
    for (const double softcap : {0.0, 5.0}) {
      // Large logits, too: exponentials must not overflow.
      at::Tensor teacher = at::randn({2, cols}) * 4, student = teacher + at::randn({2, cols});
      teacher[1] += 300;
      student[1] -= 300;
      for (const Instructions use :
           {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
        if (use > best_instructions()) continue;
        const at::Tensor losses = at::empty({2}, at::kDouble), d = at::empty({2, cols});
        kl_rows(KlRowsJob{teacher.data_ptr<float>(), student.data_ptr<float>(),
                          losses.data_ptr<double>(), d.data_ptr<float>(), 2, cols,
                          static_cast<float>(softcap), 0.25F},
                0, 2, use);
        const at::Tensor in_place = student.clone();
        kl_rows(KlRowsJob{teacher.data_ptr<float>(), in_place.data_ptr<float>(),
                          losses.data_ptr<double>(), in_place.data_ptr<float>(), 2, cols,
                          static_cast<float>(softcap), 0.25F},
                0, 2, use);
        CHECK(at::equal(in_place, d));
        for (int64_t r = 0; r < 2; ++r) {
          INFO(cols << " columns, row " << r << ", soft cap " << softcap);
          const Exact want = kl_by_formula(teacher[r], student[r], softcap, 0.25);
          // fp32 logits of this size differ by 3e-5 from one to the next.
          CHECK(std::abs(losses[r].item<double>() - want.loss) <
                1e-6 * want.loss + (r == 1 ? 1e-4 : 1e-6));
          double worst = 0;
          for (int64_t c = 0; c < cols; ++c) {
            worst = std::max(worst, std::abs(d[r][c].item<double>() - want.gradient[c]));
          }
          CHECK(worst < (r == 1 ? 1e-5 : 1e-6));
        }
      }
    }
  }
}

TEST_CASE("equal logits have no divergence, and one that is no number shows") {
  const at::Tensor logits = at::linspace(-9, 9, 40).view({2, 20});
  const auto losses = [&](const at::Tensor& teacher, const at::Tensor& student, double softcap) {
    return divergences_of_rows(teacher, student.clone(), softcap, 1, true);
  };
  const at::Tensor same = logits.clone();
  CHECK(divergences_of_rows(logits, same, 0, 1, false).abs().max().item<double>() < 1e-7);
  CHECK(at::equal(same, logits));  // no gradient was asked for
  divergences_of_rows(logits, same, 0, 1, true);
  CHECK(same.abs().max().item<float>() == 0);
  for (const double softcap : {0.0, 30.0}) {
    at::Tensor broken = logits.clone();
    broken[1][3] = NAN;
    CHECK(std::isnan(losses(logits, broken, softcap)[1].item<double>()));
    CHECK(std::isnan(losses(broken, logits, softcap)[1].item<double>()));
    CHECK(std::isfinite(losses(broken, logits, softcap)[0].item<double>()));
  }
}

TEST_CASE("the derivative takes the logits' place where these lie with gaps, too") {
  at::manual_seed(6);
  const at::Tensor teacher = at::randn({5, 30}), wide = at::randn({5, 40});
  const at::Tensor dense = wide.narrow(1, 3, 30).clone();
  const at::Tensor gaps = wide.narrow(1, 3, 30);
  const at::Tensor want = divergences_of_rows(teacher, dense, 2, 0.5, true);
  CHECK(at::allclose(divergences_of_rows(teacher, gaps, 2, 0.5, true), want, 1e-5, 1e-6));
  CHECK(at::allclose(gaps, dense, 1e-5, 1e-6));
}

}  // namespace
}  // namespace littlebit
