// Products and their derivatives against ATen's in fp64.
#include "littlebit/ops/product.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "littlebit/nn/autograd.h"
#include "littlebit/nn/linear.h"
#include "littlebit/ops/affine.h"

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
      CHECK(relative_gap(matmul_nt(left, right), exact) < kFp32);
    }
  }
  const at::Tensor wide = at::randn({37, 260});
  const at::Tensor every_other = wide.slice(1, 0, 260, 2), part = wide.narrow(1, 65, 130);
  for (const at::Tensor& left : {every_other, part}) {
    CHECK(relative_gap(matmul_nt(left, b),
                       at::matmul(left.to(at::kDouble), b.to(at::kDouble).t())) < kFp32);
  }
  CHECK(matmul_nt(a.narrow(0, 0, 0), b).sizes() == at::IntArrayRef({0, 65}));
  CHECK(relative_gap(matmul_nt(a.to(at::kDouble), b.to(at::kDouble)), exact) == 0);
}

TEST_CASE("a product by pieces: every row once, no piece above 16 MiB") {
  const at::Tensor x = at::randn({3, 64});
  for (const int64_t n : {int64_t{5}, int64_t{65536}, int64_t{150000}}) {
    const at::Tensor matrix = at::randn({n, 64});
    int64_t next = 0;
    const at::Tensor y = chunked_matmul(x, n, [&](int64_t begin, int64_t count) {
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
    const at::Tensor got = DenseLinear(weight).forward_unrounded(x);
    const at::Tensor want = at::matmul(x.to(at::kDouble), weight.to(at::kDouble).t());
    REQUIRE(got.scalar_type() == at::kFloat);
    REQUIRE(got.sizes() == want.sizes());
    // Products of bf16 are exact in fp32, 40 of them are added; rounded to bf16 it would be 2e-3.
    CHECK((got.to(at::kDouble) - want).norm().item<double>() < 1e-6 * want.norm().item<double>());
  }
}

TEST_CASE("a bf16 matrix as it is stored: few rows and many, by rows and by columns") {
  at::manual_seed(3);
  // 1500 columns: the rows of the matrix go to several threads.
  for (const bool by_columns : {false, true}) {
    const at::Tensor stored = at::randn({1400, 1500}).to(at::kBFloat16);
    const at::Tensor weight = by_columns ? stored.t().contiguous().t() : stored;
    for (const int64_t rows : {0, 1, 3, 4, 5, 17}) {
      INFO(rows << " rows" << (by_columns ? ", by columns" : ""));
      const at::Tensor x = at::randn({rows, 1, 1500}).requires_grad_();
      const DenseLinear layer(weight);
      const at::Tensor narrow = x.detach().to(at::kBFloat16).requires_grad_();
      CHECK_THROWS_WITH(layer.forward_unrounded(narrow), Catch::Contains("has no gradient"));
      const at::Tensor dy = at::randn({rows, 1, 1400});
      const at::Tensor dx = gradients({layer.forward_unrounded(x)}, {dy}, {x})[0];
      REQUIRE(dx.sizes() == x.sizes());
      if (rows > 0) {
        CHECK(relative_gap(dx, at::matmul(dy.to(at::kDouble), stored.to(at::kDouble))) < kFp32);
      }
      const c10::NoGradGuard no_grad;
      const at::Tensor got = layer.forward_unrounded(x);
      const at::Tensor want = at::matmul(x.detach().to(at::kDouble), stored.to(at::kDouble).t());
      REQUIRE(got.sizes() == at::IntArrayRef({rows, 1, 1400}));
      if (rows > 0) CHECK(relative_gap(got, want) < kFp32);
    }
  }
  const at::Tensor every_other = at::randn({3, 16}).slice(1, 0, 16, 2);  // rows with gaps
  const at::Tensor small = at::randn({5, 8}).to(at::kBFloat16);
  CHECK(relative_gap(DenseLinear(small).forward_unrounded(every_other),
                     at::matmul(every_other.to(at::kDouble), small.to(at::kDouble).t())) < kFp32);
}

TEST_CASE("affine adds its bias to a product of its own, and records what needs gradients only") {
  const at::Tensor x = at::randn({2, 3, 8}), w = at::randn({6, 8}), b = at::randn({6});
  const at::Tensor x_before = x.clone(), b_before = b.clone();
  for (const bool grad_mode : {false, true}) {
    for (int which = 0; which < 8; ++which) {
      const c10::AutoGradMode mode(grad_mode);
      INFO("grad mode " << grad_mode << ", inputs that need gradients: bits of " << which);
      const std::vector<at::Tensor> inputs = {x.detach().requires_grad_((which & 1) != 0),
                                              w.detach().requires_grad_((which & 2) != 0),
                                              b.detach().requires_grad_((which & 4) != 0)};
      const at::Tensor y = affine(inputs[0], inputs[1], inputs[2]);
      CHECK(y.requires_grad() == (grad_mode && which != 0));
      const at::Tensor exact = at::linear(x.to(at::kDouble), w.to(at::kDouble), b.to(at::kDouble));
      CHECK(relative_gap(y.detach(), exact) < kFp32);
      if (grad_mode && (which & 4) != 0) {
        const auto db = gradients({y.sum()}, {at::ones({})}, {inputs[2]});
        CHECK(at::equal(db[0], at::full({6}, 6.0F)));
      }
    }
  }
  CHECK(at::equal(x, x_before));
  CHECK(at::equal(b, b_before));
}

TEST_CASE("a dense layer as a head: unrounded sums with their bias, and the gradient of x") {
  at::manual_seed(5);
  const at::Tensor w = at::randn({33, 48}), b = at::randn({33});
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const DenseLinear layer(w.to(dtype), b.to(dtype));
    const at::Tensor exact_w = layer.weight().to(at::kDouble);
    const at::Tensor x = at::randn({2, 3, 48}).to(dtype), dy = at::randn({2, 3, 33}).to(dtype);
    const at::Tensor y = layer.forward_unrounded(x);
    CHECK(y.scalar_type() == (dtype == at::kDouble ? at::kDouble : at::kFloat));
    CHECK(relative_gap(y, at::matmul(x.to(at::kDouble), exact_w.t()) + layer.bias()) < kFp32);
    const at::Tensor dx = layer.input_gradient(dy);
    REQUIRE(dx.sizes() == x.sizes());
    CHECK(dx.scalar_type() == dtype);
    CHECK(relative_gap(dx, at::matmul(dy.to(at::kDouble), exact_w)) <
          (dtype == at::kBFloat16 ? 4e-3 : kFp32));
    CHECK(layer.input_gradient(dy.narrow(0, 0, 0)).sizes() == at::IntArrayRef({0, 3, 48}));
  }
}

TEST_CASE("a dense layer has no latent") {
  const DenseLinear layer(at::randn({6, 8}), at::randn({6}));
  CHECK(layer.latent_size() == 0);
  const at::Tensor x = at::randn({3, 8});
  CHECK(at::equal(layer.forward(x), affine(x, layer.weight(), layer.bias())));
}

}  // namespace
}  // namespace littlebit
