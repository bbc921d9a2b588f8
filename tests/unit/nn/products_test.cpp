// Products and their derivatives against ATen's in fp64.
#include "littlebit/nn/products.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>

#include <catch2/catch.hpp>

#include "littlebit/nn/autograd.h"
#include "littlebit/nn/linear.h"

namespace littlebit {
namespace {

double relative_gap(const at::Tensor& ours, const at::Tensor& exact) {
  const at::Tensor gap = ours.to(at::kDouble) - exact;
  return (at::linalg_vector_norm(gap) / at::linalg_vector_norm(exact)).item<double>();
}

constexpr double kFp32 = 1e-6;  // sums of some hundred products, relative to their norm

TEST_CASE("a product of matrices by rows, by columns and with gaps") {
  const at::Tensor a = at::randn({37, 130}), b = at::randn({65, 130});
  const at::Tensor exact = at::matmul(a.to(at::kDouble), b.to(at::kDouble).t());
  const at::Tensor columns_a = a.t().contiguous().t(), columns_b = b.t().contiguous().t();
  for (const at::Tensor& left : {a, columns_a}) {
    for (const at::Tensor& right : {b, columns_b}) {
      CHECK(relative_gap(product_nt(left, right), exact) < kFp32);
    }
  }
  const at::Tensor wide = at::randn({37, 260});
  const at::Tensor every_other = wide.slice(1, 0, 260, 2), part = wide.narrow(1, 65, 130);
  for (const at::Tensor& left : {every_other, part}) {
    CHECK(relative_gap(product_nt(left, b),
                       at::matmul(left.to(at::kDouble), b.to(at::kDouble).t())) < kFp32);
  }
  CHECK(product_nt(a.narrow(0, 0, 0), b).sizes() == at::IntArrayRef({0, 65}));
  CHECK(relative_gap(product_nt(a.to(at::kDouble), b.to(at::kDouble)), exact) == 0);
}

TEST_CASE("a product by pieces: every row once, no piece above 16 MiB") {
  const at::Tensor x = at::randn({3, 64});
  for (const int64_t n : {int64_t{5}, int64_t{65536}, int64_t{150000}}) {
    const at::Tensor matrix = at::randn({n, 64});
    int64_t next = 0;
    const at::Tensor y = product_by_pieces(x, n, [&](int64_t begin, int64_t count) {
      CHECK(begin == next);
      CHECK(count * 64 <= 1 << 22);
      next = begin + count;
      return matrix.narrow(0, begin, count);
    });
    CHECK(next == n);
    CHECK(relative_gap(y, at::matmul(x.to(at::kDouble), matrix.to(at::kDouble).t())) < kFp32);
  }
}

TEST_CASE("affine and its derivatives are ATen's") {
  const bool with_bias = GENERATE(true, false);
  const std::vector<int64_t> shape =
      GENERATE(std::vector<int64_t>{3, 5, 48}, std::vector<int64_t>{7, 48});
  at::Tensor x = at::randn(shape), w = at::randn({33, 48}), b = at::randn({33});
  std::vector<int64_t> out_shape = shape;
  out_shape.back() = 33;
  const at::Tensor dy = at::randn(out_shape);
  std::vector<at::Tensor> inputs{x, w}, exact_inputs{x.to(at::kDouble), w.to(at::kDouble)};
  if (with_bias) {
    inputs.push_back(b);
    exact_inputs.push_back(b.to(at::kDouble));
  }
  for (auto* list : {&inputs, &exact_inputs}) {
    for (at::Tensor& t : *list) t = t.detach().requires_grad_();
  }
  const auto optional = [&](const std::vector<at::Tensor>& list) {
    return with_bias ? list[2] : at::Tensor();
  };
  const at::Tensor y = affine(inputs[0], inputs[1], optional(inputs));
  const at::Tensor exact = at::linear(exact_inputs[0], exact_inputs[1], optional(exact_inputs));
  CHECK((y.sizes() == exact.sizes()));
  CHECK(relative_gap(y.detach(), exact.detach()) < kFp32);
  const auto ours = gradients({y}, {dy}, inputs);
  const auto theirs = gradients({exact}, {dy.to(at::kDouble)}, exact_inputs);
  for (size_t i = 0; i < inputs.size(); ++i) {
    INFO("input " << i);
    CHECK((ours[i].sizes() == theirs[i].sizes()));
    CHECK(relative_gap(ours[i], theirs[i]) < kFp32);
  }
}

TEST_CASE("affine leaves out what needs no gradient") {
  const at::Tensor x = at::randn({4, 8}), w = at::randn({6, 8}), b = at::randn({6});
  const at::Tensor plain = affine(x, w, b);
  CHECK_FALSE(plain.requires_grad());
  const at::Tensor x_of_graph = x.detach().requires_grad_();
  const at::Tensor y = affine(x_of_graph, w, b);
  CHECK(y.requires_grad());
  CHECK(relative_gap(y.detach(), plain.to(at::kDouble)) < kFp32);
  const at::Tensor dy = at::randn({4, 6});
  const auto dx = gradients({y}, {dy}, {x_of_graph});
  CHECK(relative_gap(dx[0], at::matmul(dy, w).to(at::kDouble)) < kFp32);
  // Only the weight: x is a leaf without a gradient.
  const at::Tensor w_of_graph = w.detach().requires_grad_();
  const auto dw = gradients({affine(x, w_of_graph)}, {dy}, {w_of_graph});
  CHECK(relative_gap(dw[0], at::matmul(dy.t(), x).to(at::kDouble)) < kFp32);
}

TEST_CASE("the sums of a bf16 product come back in fp32, unrounded") {
  at::manual_seed(2);
  const at::Tensor weight = at::randn({97, 40}).to(at::kBFloat16);
  for (const int64_t rows : {1, 4, 5, 33}) {
    const at::Tensor x = at::randn({1, rows, 40}).mul_(4).to(at::kBFloat16);
    const at::Tensor got = littlebit::linear_widened(x, weight);
    const at::Tensor want = at::matmul(x.to(at::kDouble), weight.to(at::kDouble).t());
    REQUIRE(got.scalar_type() == at::kFloat);
    REQUIRE(got.sizes() == want.sizes());
    // Products of bf16 are exact in fp32, 40 of them are added; rounded to bf16 it would be 2e-3.
    CHECK((got.to(at::kDouble) - want).norm().item<double>() < 1e-6 * want.norm().item<double>());
  }
}

}  // namespace
}  // namespace littlebit
