// RMS norms against the formula, one number at a time in fp64, by every instruction set.
#include "littlebit/ops/rms_norm.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "littlebit/nn/autograd.h"

namespace littlebit {
namespace {

constexpr double kEps = 1e-5;

// Of each row of x, which is fp64: x_c / sqrt(mean + eps) * (weight_c + offset).
at::Tensor norm_by_formula(const at::Tensor& x, const at::Tensor& weight, double offset) {
  const at::Tensor y = at::empty_like(x);
  const auto from = x.accessor<double, 2>();
  auto to = y.accessor<double, 2>();
  for (int64_t r = 0; r < x.size(0); ++r) {
    double squares = 0;
    for (int64_t c = 0; c < x.size(1); ++c) squares += from[r][c] * from[r][c];
    for (int64_t c = 0; c < x.size(1); ++c) {
      to[r][c] = from[r][c] / std::sqrt(squares / static_cast<double>(x.size(1)) + kEps) *
                 (weight[c].item<double>() + offset);
    }
  }
  return y;
}

double gap(const at::Tensor& got, const at::Tensor& want) {
  return (got.to(at::kDouble) - want).norm().item<double>() / want.norm().item<double>();
}

TEST_CASE("an RMS norm is its formula: plain, 1 + weight, of a sum, per head") {
  at::manual_seed(1);
  for (const double offset : {0.0, 1.0}) {
    for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 64}, {131, 37}}) {
      INFO(rows << " x " << cols << ", offset " << offset);
      const at::Tensor x = at::randn({rows, cols}), added = at::randn({rows, cols});
      const at::Tensor weight = at::randn({cols});
      CHECK(gap(rms_norm_to(at::kFloat, x, weight, kEps, offset),
                norm_by_formula(x.to(at::kDouble), weight, offset)) < 1e-6);
      const NormedSum both = add_rms_norm_to(at::kFloat, x, added, weight, kEps, offset);
      CHECK(at::equal(both.sum, x + added));
      const at::Tensor want = norm_by_formula((x + added).to(at::kDouble), weight, offset);
      CHECK(gap(both.normed, want) < 1e-6);
      const NormedSum narrow = add_rms_norm_to(at::kBFloat16, x, added, weight, kEps, offset);
      CHECK(narrow.sum.scalar_type() == at::kFloat);
      CHECK(narrow.normed.scalar_type() == at::kBFloat16);
      CHECK(gap(narrow.normed, want) < 4e-3);
    }
  }
  // [B, T, heads, D], rows with gaps between them.
  const at::Tensor wide = at::randn({2, 5, 3, 24}), weight = at::randn({16});
  const at::Tensor heads = wide.narrow(3, 4, 16);
  const at::Tensor got = rms_norm_to(at::kFloat, heads, weight, kEps, 0);
  CHECK(got.sizes() == heads.sizes());
  CHECK(gap(got.reshape({-1, 16}),
            norm_by_formula(heads.reshape({-1, 16}).to(at::kDouble), weight, 0)) < 1e-6);
}

TEST_CASE("the gradients of a normed sum are those of both its results") {
  at::manual_seed(2);
  const auto inputs_of = [](at::ScalarType dtype) {
    at::manual_seed(3);
    std::vector<at::Tensor> inputs;
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{70, 33}, std::vector<int64_t>{70, 33}, std::vector<int64_t>{33}}) {
      inputs.push_back(at::randn(shape).to(dtype).requires_grad_());
    }
    return inputs;
  };
  const at::Tensor d_sum = at::randn({70, 33}), dy = at::randn({70, 33});
  const auto found = [&](at::ScalarType dtype, bool of_sum, bool of_norm) {
    const std::vector<at::Tensor> inputs = inputs_of(dtype);
    const NormedSum both = add_rms_norm_to(dtype, inputs[0], inputs[1], inputs[2], kEps, 1);
    std::vector<at::Tensor> outputs, weights;
    if (of_sum) {
      outputs.push_back(both.sum);
      weights.push_back(d_sum.to(dtype));
    }
    if (of_norm) {
      outputs.push_back(both.normed);
      weights.push_back(dy.to(dtype));
    }
    return gradients(outputs, weights, inputs);
  };
  for (const auto& [of_sum, of_norm] :
       {std::pair{true, true}, std::pair{false, true}, std::pair{true, false}}) {
    const auto got = found(at::kFloat, of_sum, of_norm), want = found(at::kDouble, of_sum, of_norm);
    for (size_t i = 0; i < (of_norm ? 3 : 2); ++i) {
      INFO("input " << i);
      REQUIRE(got[i].defined());
      CHECK(gap(got[i], want[i]) < 1e-6);
    }
  }
}

TEST_CASE("every instruction set gives an RMS norm's numbers, and parts do not matter") {
  at::manual_seed(4);
  constexpr int64_t kRows = 150, kCols = 75;
  const at::Tensor x = at::randn({kRows, kCols}), dy = at::randn({kRows, kCols});
  const at::Tensor weight = at::randn({kCols});
  const auto run = [&](Instructions use, int64_t step) {
    std::vector<at::Tensor> results = {at::empty_like(x), at::empty_like(x), at::empty({3, kCols})};
    const RmsNormJob<float, float> norm{x.data_ptr<float>(),
                                        nullptr,
                                        weight.data_ptr<float>(),
                                        nullptr,
                                        results[0].data_ptr<float>(),
                                        kRows,
                                        kCols,
                                        kEps,
                                        0};
    const RmsNormGradientJob<float, float> gradient{dy.data_ptr<float>(),
                                                    x.data_ptr<float>(),
                                                    weight.data_ptr<float>(),
                                                    nullptr,
                                                    results[1].data_ptr<float>(),
                                                    results[2].data_ptr<float>(),
                                                    kRows,
                                                    kCols,
                                                    kEps,
                                                    0};
    REQUIRE(gradient.parts() == 3);
    for (int64_t r = 0; r < kRows; r += step) {
      rms_norm_rows(norm, r, std::min(kRows, r + step), use);
    }
    for (int64_t part = 0; part < 3; ++part) rms_norm_gradient(gradient, part, part + 1, use);
    return results;
  };
  const auto want = run(Instructions::kPlain, kRows);
  for (const Instructions use :
       {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
    if (use > best_instructions()) continue;
    const auto got = run(use, 7);
    for (size_t i = 0; i < want.size(); ++i) CHECK(gap(got[i], want[i].to(at::kDouble)) < 1e-6);
  }
}

}  // namespace
}  // namespace littlebit
