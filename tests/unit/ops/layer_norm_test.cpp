// Layer norms against the formula, one number at a time in fp64, by every instruction set.
#include "littlebit/ops/layer_norm.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "littlebit/nn/autograd.h"

namespace littlebit {
namespace {

constexpr double kEps = 1e-5;

// Of each row of x, which is fp64.
at::Tensor norm_by_formula(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor y = at::empty_like(x);
  const auto from = x.accessor<double, 2>();
  auto to = y.accessor<double, 2>();
  const auto count = static_cast<double>(x.size(1));
  for (int64_t r = 0; r < x.size(0); ++r) {
    double mean = 0, squares = 0;
    for (int64_t c = 0; c < x.size(1); ++c) mean += from[r][c] / count;
    for (int64_t c = 0; c < x.size(1); ++c) squares += std::pow(from[r][c] - mean, 2);
    for (int64_t c = 0; c < x.size(1); ++c) {
      to[r][c] =
          (from[r][c] - mean) / std::sqrt(squares / count + kEps) * weight[c].item<double>() +
          bias[c].item<double>();
    }
  }
  return y;
}

double gap(const at::Tensor& got, const at::Tensor& want) {
  return (got.to(at::kDouble) - want).norm().item<double>() / want.norm().item<double>();
}

TEST_CASE("a layer norm is its formula: plain, of a sum, far from zero") {
  at::manual_seed(1);
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 64}, {131, 37}}) {
    INFO(rows << " x " << cols);
    // A mean of 100 times the deviation: a variance by mean(x^2) - mean(x)^2 would be lost in fp32.
    const at::Tensor x = at::randn({rows, cols}) + 100, added = at::randn({rows, cols});
    const at::Tensor weight = at::randn({cols}), bias = at::randn({cols});
    const double allowed = 1e-5;  // fp32 holds 100 + x to 4e-6
    CHECK(gap(layer_norm_to(at::kFloat, x, weight, bias, kEps),
              norm_by_formula(x.to(at::kDouble), weight, bias)) < allowed);
    const NormedSum both = add_layer_norm_to(at::kFloat, x, added, weight, bias, kEps);
    CHECK(at::equal(both.sum, x + added));
    const at::Tensor want = norm_by_formula((x + added).to(at::kDouble), weight, bias);
    CHECK(gap(both.normed, want) < allowed);
    const NormedSum narrow = add_layer_norm_to(at::kBFloat16, x, added, weight, bias, kEps);
    CHECK(narrow.sum.scalar_type() == at::kFloat);
    CHECK(narrow.normed.scalar_type() == at::kBFloat16);
    CHECK(gap(narrow.normed, want) < 4e-3);
  }
  // Rows with gaps between them, and none.
  const at::Tensor rows = at::randn({2, 5, 24}).narrow(2, 4, 16);
  const at::Tensor weight = at::randn({16}), bias = at::randn({16});
  const at::Tensor got = layer_norm_to(at::kFloat, rows, weight, bias, kEps);
  CHECK(got.sizes() == rows.sizes());
  CHECK(gap(got.reshape({-1, 16}),
            norm_by_formula(rows.reshape({-1, 16}).to(at::kDouble), weight, bias)) < 1e-6);
  CHECK(layer_norm_to(at::kFloat, at::empty({0, 16}), weight, bias, kEps).numel() == 0);
}

TEST_CASE("the gradients of a layer-normed sum are those of both its results") {
  at::manual_seed(2);
  const auto inputs_of = [](at::ScalarType dtype) {
    at::manual_seed(3);
    std::vector<at::Tensor> inputs;
    for (const std::vector<int64_t>& shape :
         std::vector<std::vector<int64_t>>{{70, 33}, {70, 33}, {33}, {33}}) {
      inputs.push_back(at::randn(shape).to(dtype).requires_grad_());
    }
    return inputs;
  };
  const at::Tensor d_sum = at::randn({70, 33}), dy = at::randn({70, 33});
  const auto found = [&](at::ScalarType dtype, bool of_sum, bool of_norm) {
    const std::vector<at::Tensor> in = inputs_of(dtype);
    const NormedSum both = add_layer_norm_to(dtype, in[0], in[1], in[2], in[3], kEps);
    std::vector<at::Tensor> outputs, weights;
    if (of_sum) {
      outputs.push_back(both.sum);
      weights.push_back(d_sum.to(dtype));
    }
    if (of_norm) {
      outputs.push_back(both.normed);
      weights.push_back(dy.to(dtype));
    }
    return gradients(outputs, weights, in);
  };
  for (const auto& [of_sum, of_norm] :
       {std::pair{true, true}, std::pair{false, true}, std::pair{true, false}}) {
    const auto got = found(at::kFloat, of_sum, of_norm), want = found(at::kDouble, of_sum, of_norm);
    for (size_t i = 0; i < (of_norm ? 4 : 2); ++i) {
      INFO("input " << i);
      REQUIRE(got[i].defined());
      CHECK(gap(got[i], want[i]) < 2e-6);
    }
  }
}

TEST_CASE("every instruction set gives a layer norm's numbers, and parts do not matter") {
  at::manual_seed(4);
  constexpr int64_t kRows = 150, kCols = 75;
  const at::Tensor x = at::randn({kRows, kCols}), dy = at::randn({kRows, kCols});
  const at::Tensor weight = at::randn({kCols}), bias = at::randn({kCols});
  const auto run = [&](Instructions use, int64_t step) {
    std::vector<at::Tensor> results = {at::empty_like(x), at::empty_like(x),
                                       at::empty({3, 2, kCols})};
    const LayerNormJob<float, float> norm{x.data_ptr<float>(),
                                          nullptr,
                                          weight.data_ptr<float>(),
                                          bias.data_ptr<float>(),
                                          nullptr,
                                          results[0].data_ptr<float>(),
                                          kRows,
                                          kCols,
                                          kEps};
    const LayerNormGradientJob<float, float> gradient{dy.data_ptr<float>(),
                                                      x.data_ptr<float>(),
                                                      weight.data_ptr<float>(),
                                                      nullptr,
                                                      results[1].data_ptr<float>(),
                                                      results[2].data_ptr<float>(),
                                                      kRows,
                                                      kCols,
                                                      kEps};
    REQUIRE(gradient.parts() == 3);
    for (int64_t r = 0; r < kRows; r += step) {
      layer_norm_rows(norm, r, std::min(kRows, r + step), use);
    }
    for (int64_t part = 0; part < 3; ++part) layer_norm_gradient(gradient, part, part + 1, use);
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
