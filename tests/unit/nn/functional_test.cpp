// The transformer's operations against loops over numbers, in fp64, and their gradients against
// finite differences.
#include "littlebit/nn/functional.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/randn_like.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <limits>

#include "littlebit/nn/autograd.h"

namespace littlebit {
namespace {

// Fixed numbers without structure, different for each salt.
at::Tensor numbers(at::IntArrayRef shape, double salt, at::ScalarType type = at::kDouble) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return at::sin(at::linspace(salt, salt + 2.7 * static_cast<double>(count), count, at::kDouble))
      .reshape(shape)
      .to(type);
}

double largest_gap(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.sizes() == b.sizes());
  return at::abs(a.to(at::kDouble) - b.to(at::kDouble)).max().item<double>();
}

double at4(const at::Tensor& x, int64_t a, int64_t b, int64_t c, int64_t d) {
  return x[a][b][c][d].item<double>();
}

// softmax(cap(q k^T scale)) v, one number after the other.
at::Tensor attention_by_hand(const at::Tensor& query, const at::Tensor& key,
                             const at::Tensor& value, double scale, int64_t window,
                             double softcap) {
  const auto q = query.accessor<double, 4>(), k = key.accessor<double, 4>(),
             v = value.accessor<double, 4>();
  const int64_t group = q.size(1) / k.size(1);
  const at::Tensor result = at::zeros(query.sizes(), at::kDouble);
  auto out = result.accessor<double, 4>();
  for (int64_t b = 0; b < q.size(0); ++b) {
    for (int64_t n = 0; n < q.size(1); ++n) {
      for (int64_t t = 0; t < q.size(2); ++t) {
        const int64_t first = window > 0 ? std::max<int64_t>(0, t - window + 1) : 0;
        double sum = 0;
        for (int64_t s = first; s <= t; ++s) {
          double score = 0;
          for (int64_t d = 0; d < q.size(3); ++d) score += q[b][n][t][d] * k[b][n / group][s][d];
          score *= scale;
          if (softcap > 0) score = softcap * std::tanh(score / softcap);
          sum += std::exp(score);
          for (int64_t d = 0; d < q.size(3); ++d)
            out[b][n][t][d] += std::exp(score) * v[b][n / group][s][d];
        }
        for (int64_t d = 0; d < q.size(3); ++d) out[b][n][t][d] /= sum;
      }
    }
  }
  return result;
}

// |d/dx <f(x), c> . direction - central difference| for a random-ish direction.
double gradient_gap(const std::function<at::Tensor(const at::Tensor&)>& f,
                    const at::Tensor& at_point) {
  const at::Tensor x = at_point.clone().set_requires_grad(true);
  at::Tensor gradient, weights;
  {
    const c10::AutoGradMode with_grad(true);
    const at::Tensor y = f(x);
    weights = numbers(y.sizes(), 0.3);
    gradient = gradients({y}, {weights}, {x})[0];
  }
  const c10::AutoGradMode no_grad(false);
  const at::Tensor direction = numbers(x.sizes(), 1.9);
  constexpr double kStep = 1e-5;
  const double slope =
      ((f(at_point + direction * kStep) - f(at_point - direction * kStep)) * weights)
          .sum()
          .item<double>() /
      (2 * kStep);
  return std::abs(slope - (gradient * direction).sum().item<double>());
}

constexpr double kExact = 1e-12;      // fp64 rounding over a few dozen terms
constexpr double kDifference = 1e-7;  // of a central difference with step 1e-5

TEST_CASE("rms_norm is what its formula says") {
  const at::Tensor x = numbers({3, 5}, 0.1), weight = numbers({5}, 0.7);
  for (const double offset : {0.0, 1.0}) {
    const at::Tensor got = rms_norm(x, weight, 1e-2, offset);
    for (int64_t row = 0; row < 3; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < 5; ++i) sum += std::pow(x[row][i].item<double>(), 2);
      for (int64_t i = 0; i < 5; ++i) {
        const double want = x[row][i].item<double>() / std::sqrt(sum / 5 + 1e-2) *
                            (weight[i].item<double>() + offset);
        CHECK(got[row][i].item<double>() == Approx(want).epsilon(kExact));
      }
    }
    CHECK(gradient_gap([&](const at::Tensor& v) { return rms_norm(v, weight, 1e-2, offset); }, x) <
          kDifference);
    CHECK(gradient_gap([&](const at::Tensor& v) { return rms_norm(x, v, 1e-2, offset); }, weight) <
          kDifference);
  }
}

TEST_CASE("norms leave their inputs alone, with and without autograd") {
  const at::Tensor x = numbers({2, 4}, 0.1, at::kFloat), weight = numbers({4}, 0.7, at::kFloat);
  const at::Tensor x_before = x.clone(), weight_before = weight.clone();
  for (const bool grad : {false, true}) {
    const c10::AutoGradMode mode(grad);
    rms_norm(x, weight, 1e-6, 0);
    layer_norm(x, weight, weight, 1e-5);
  }
  CHECK(at::equal(x, x_before));
  CHECK(at::equal(weight, weight_before));
}

TEST_CASE("layer_norm has mean 0 and variance 1 before weight and bias") {
  const at::Tensor x = numbers({4, 6}, 0.2), weight = numbers({6}, 0.5), bias = numbers({6}, 0.9);
  const at::Tensor centred = x - x.mean(-1, true);
  const at::Tensor plain = centred / (centred * centred).mean(-1, true).add(1e-5).sqrt();
  CHECK(largest_gap(layer_norm(x, weight, bias, 1e-5), plain * weight + bias) < kExact);
}

TEST_CASE("norms of bf16 input compute in fp32 and return bf16") {
  const at::Tensor x = numbers({2, 64}, 0.4).to(at::kBFloat16);
  const at::Tensor weight = numbers({64}, 0.6, at::kFloat);
  const at::Tensor got = rms_norm(x, weight, 1e-6, 1);
  CHECK(got.scalar_type() == at::kBFloat16);
  CHECK(at::equal(got, rms_norm(x.to(at::kFloat), weight, 1e-6, 1).to(at::kBFloat16)));
}

TEST_CASE("rotate turns the pairs (i, i + half) and leaves the rest") {
  const at::Tensor x = numbers({1, 2, 3, 6}, 0.1);
  const at::Tensor angles = numbers({3, 2}, 0.8);
  const at::Tensor cos = angles.cos(), sin = angles.sin();
  const at::Tensor got = rotate(x, cos, sin);
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t t = 0; t < 3; ++t) {
      for (int64_t i = 0; i < 2; ++i) {
        const double a = at4(x, 0, n, t, i), b = at4(x, 0, n, t, i + 2);
        const double c = cos[t][i].item<double>(), s = sin[t][i].item<double>();
        CHECK(at4(got, 0, n, t, i) == Approx(a * c - b * s).epsilon(kExact));
        CHECK(at4(got, 0, n, t, i + 2) == Approx(b * c + a * s).epsilon(kExact));
      }
      CHECK(at4(got, 0, n, t, 4) == at4(x, 0, n, t, 4));
      CHECK(at4(got, 0, n, t, 5) == at4(x, 0, n, t, 5));
    }
  }
  CHECK(gradient_gap([&](const at::Tensor& v) { return rotate(v, cos, sin); }, x) < kDifference);
}

TEST_CASE("activations have their published values") {
  const at::Tensor x = at::linspace(-2, 2, 3, at::kDouble);  // -2, 0, 2
  const auto last = [&](Activation a) { return activate(x, a)[2].item<double>(); };
  CHECK(last(Activation::kSilu) == Approx(2 / (1 + std::exp(-2.0))).epsilon(kExact));
  CHECK(last(Activation::kGelu) == Approx(1 + std::erf(std::sqrt(2.0))).epsilon(kExact));
  const double inner = std::sqrt(2 / M_PI) * (2 + 0.044715 * 8);
  CHECK(last(Activation::kGeluTanh) == Approx(1 + std::tanh(inner)).epsilon(kExact));
  CHECK(last(Activation::kRelu) == 2);
  CHECK(activate(x, Activation::kRelu)[0].item<double>() == 0);
}

TEST_CASE("activate_gated is activate times up, and differentiable") {
  const at::Tensor gate = numbers({2, 5}, 0.1), up = numbers({2, 5}, 0.6);
  for (const Activation activation :
       {Activation::kSilu, Activation::kGelu, Activation::kGeluTanh, Activation::kRelu}) {
    const at::Tensor want = activate(gate, activation) * up;
    CHECK(largest_gap(activate_gated(gate.clone(), up, activation), want) < kExact);
    CHECK(
        gradient_gap([&](const at::Tensor& g) { return activate_gated(g.clone(), up, activation); },
                     gate) < kDifference);
    CHECK(gradient_gap(
              [&](const at::Tensor& u) { return activate_gated(gate.clone(), u, activation); },
              up) < kDifference);
  }
}

TEST_CASE("a gate of GeLU by the error function is overwritten where no backward pass reads it") {
  const at::Tensor up = numbers({2, 5}, 0.6);
  for (const bool grad_mode : {false, true}) {
    for (const bool recorded : {false, true}) {
      const c10::AutoGradMode mode(grad_mode);
      INFO("grad mode " << grad_mode << ", gate requires gradients " << recorded);
      const at::Tensor gate = numbers({2, 5}, 0.1).set_requires_grad(recorded);
      const at::Tensor before = gate.detach().clone();
      const at::Tensor got = activate_gated(gate, up, Activation::kGelu);
      const bool kept = grad_mode && recorded;
      CHECK((got.const_data_ptr() == gate.const_data_ptr()) == !kept);
      CHECK(at::equal(gate, before) == kept);
    }
  }
}

TEST_CASE("causal_attention equals the formula for every head layout, window and soft cap") {
  struct Layout {
    int64_t heads, kv_heads;
  };
  for (const Layout layout : {Layout{4, 4}, Layout{6, 2}, Layout{3, 1}}) {
    const at::Tensor q = numbers({2, layout.heads, 9, 4}, 0.1),
                     k = numbers({2, layout.kv_heads, 9, 4}, 0.5),
                     v = numbers({2, layout.kv_heads, 9, 4}, 0.9);
    for (const int64_t window : {0, 1, 3, 9, 40}) {
      for (const double softcap : {0.0, 0.7}) {
        INFO(layout.heads << " on " << layout.kv_heads << ", window " << window << ", cap "
                          << softcap);
        const at::Tensor want = attention_by_hand(q, k, v, 0.8, window, softcap);
        CHECK(largest_gap(causal_attention(q, k, v, 0.8, window, softcap), want) < kExact);
        const at::Tensor band = causal_band(9, window, softcap, at::kDouble, at::kCPU);
        CHECK(largest_gap(causal_attention(q, k, v, 0.8, window, softcap, band), want) < kExact);
        CHECK(gradient_gap(
                  [&](const at::Tensor& x) {
                    return causal_attention(x, k, v, 0.8, window, softcap);
                  },
                  q) < kDifference);
        CHECK(gradient_gap(
                  [&](const at::Tensor& x) {
                    return causal_attention(q, x, v, 0.8, window, softcap);
                  },
                  k) < kDifference);
        CHECK(gradient_gap(
                  [&](const at::Tensor& x) {
                    return causal_attention(q, k, x, 0.8, window, softcap);
                  },
                  v) < kDifference);
      }
    }
  }
}

TEST_CASE("causal_attention in chunks equals the formula") {
  // Lengths that divide into chunks and that do not, windows below, at and above the chunk.
  for (const int64_t length : {128, 201}) {
    const at::Tensor q = numbers({1, 4, length, 3}, 0.1), k = numbers({1, 2, length, 3}, 0.5),
                     v = numbers({1, 2, length, 3}, 0.9);
    for (const int64_t window : {0, 1, 5, 64, 90, 128, 200}) {
      for (const double softcap : {0.0, 0.7}) {
        INFO(length << " positions, window " << window << ", cap " << softcap);
        const at::Tensor want = attention_by_hand(q, k, v, 0.8, window, softcap);
        CHECK(largest_gap(causal_attention(q, k, v, 0.8, window, softcap), want) < kExact);
        const at::Tensor band = causal_band(length, window, softcap, at::kDouble, at::kCPU);
        CHECK(largest_gap(causal_attention(q, k, v, 0.8, window, softcap, band), want) < kExact);
        const auto of_all = [&](const at::Tensor& x) {
          return causal_attention(q * x, k * x, v * x, 0.8, window, softcap);
        };
        CHECK(gradient_gap(of_all, numbers({1, 1, length, 3}, 0.4)) < kDifference);
      }
    }
  }
}

TEST_CASE("long sequences take the fused kernel's own causal path") {
  CHECK_FALSE(causal_band(1025, 0, 0, at::kDouble, at::kCPU).defined());
  CHECK_FALSE(causal_band(127, 0, 0, at::kDouble, at::kCPU).defined());
  CHECK(causal_band(1024, 0, 0, at::kDouble, at::kCPU).sizes() == at::IntArrayRef({128, 1024}));
  CHECK(causal_band(4096, 256, 0, at::kDouble, at::kCPU).sizes() == at::IntArrayRef({256, 511}));
  const at::Tensor q = numbers({1, 1, 1100, 2}, 0.1), k = numbers({1, 1, 1100, 2}, 0.5),
                   v = numbers({1, 1, 1100, 2}, 0.9);
  CHECK(largest_gap(causal_attention(q, k, v, 0.8, 0, 0), attention_by_hand(q, k, v, 0.8, 0, 0)) <
        kExact);
}

TEST_CASE("causal_band has the rows of a chunk and the columns of what it can see") {
  const auto sizes = [](int64_t length, int64_t window) {
    return causal_band(length, window, 0.5, at::kDouble, at::kCPU).sizes().vec();
  };
  using Sizes = std::vector<int64_t>;
  CHECK(causal_band(128, 0, 0, at::kDouble, at::kCPU).sizes() == at::IntArrayRef({64, 128}));
  CHECK(sizes(127, 0) == Sizes{127, 127});
  CHECK(sizes(192, 0) == Sizes{64, 192});
  CHECK(sizes(199, 0) == Sizes{67, 199});  // three chunks, the last one shorter
  CHECK(sizes(201, 0) == Sizes{67, 201});
  CHECK(sizes(202, 0) == Sizes{68, 202});
  CHECK(sizes(4096, 0) == Sizes{512, 4096});
  for (const int64_t window : {1, 63, 64}) CHECK(sizes(4096, window) == Sizes{64, 63 + window});
  CHECK(sizes(4096, 65) == Sizes{65, 129});
  CHECK(sizes(4096, 511) == Sizes{511, 1021});
  CHECK(sizes(4096, 513) == Sizes{512, 1024});
  CHECK(sizes(70, 60) == Sizes{64, 70});  // no more columns than positions
  // A window over everything is none.
  for (const int64_t window : {100, 101, 5000}) {
    CHECK_FALSE(causal_band(100, window, 0, at::kDouble, at::kCPU).defined());
  }
  CHECK(causal_band(100, 99, 0, at::kDouble, at::kCPU).defined());
  CHECK(causal_band(100, 0, 0.5, at::kHalf, at::kCPU).scalar_type() == at::kHalf);
}

TEST_CASE(
    "masked_attention sees what the mask leaves, any number of keys, with and without a cap") {
  const double hidden = -std::numeric_limits<double>::infinity();
  const at::Tensor q = numbers({2, 6, 3, 4}, 0.1), k = numbers({2, 2, 5, 4}, 0.5),
                   v = numbers({2, 2, 5, 4}, 0.9);
  const at::Tensor mask = at::zeros({3, 5}, at::kDouble);
  for (const int64_t at : {0, 7, 14}) mask.view({-1})[at].fill_(hidden);
  for (const double softcap : {0.0, 0.7}) {
    for (const bool with_mask : {false, true}) {
      INFO("cap " << softcap << (with_mask ? ", masked" : ""));
      at::Tensor scores = at::matmul(q, k.repeat_interleave(3, 1).transpose(2, 3)) * 0.8;
      if (softcap > 0) scores = (scores / softcap).tanh() * softcap;
      if (with_mask) scores = scores + mask;
      const at::Tensor want = at::matmul(scores.softmax(-1), v.repeat_interleave(3, 1));
      const at::Tensor got =
          masked_attention(q, k, v, 0.8, softcap, with_mask ? mask : at::Tensor());
      CHECK(largest_gap(got, want) < kExact);
    }
  }
}

TEST_CASE("causal_attention in fp32 and bf16 stays near fp64") {
  const at::Tensor q = numbers({2, 6, 70, 16}, 0.1), k = numbers({2, 2, 70, 16}, 0.5),
                   v = numbers({2, 2, 70, 16}, 0.9);
  for (const double softcap : {0.0, 5.0}) {
    for (const int64_t window : {0, 13}) {
      const at::Tensor want = causal_attention(q, k, v, 0.5, window, softcap);
      const auto run = [&](at::ScalarType type) {
        const at::Tensor got =
            causal_attention(q.to(type), k.to(type), v.to(type), 0.5, window, softcap);
        CHECK(got.scalar_type() == type);
        return largest_gap(got, want);
      };
      CHECK(run(at::kFloat) < 2e-6);     // values up to 1, sums of up to 70 terms
      CHECK(run(at::kBFloat16) < 2e-2);  // 8 bits of significand in scores and weights
    }
  }
}

TEST_CASE("gradients of what the outputs do not depend on are undefined") {
  const at::Tensor a = numbers({3}, 0.1).set_requires_grad(true),
                   b = numbers({3}, 0.2).set_requires_grad(true);
  const c10::AutoGradMode with_grad(true);
  const at::Tensor y = a * 2;
  const std::vector<at::Tensor> found = gradients({y}, {at::ones_like(y)}, {a, b});
  CHECK(largest_gap(found[0], at::ones({3}, at::kDouble) * 2) == 0);
  CHECK_FALSE(found[1].defined());
}

}  // namespace
}  // namespace littlebit
