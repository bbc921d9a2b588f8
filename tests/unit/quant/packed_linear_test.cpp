// The inference form of a layer against its training form, which expands both factors.
#include "littlebit/quant/packed_linear.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "littlebit/quant/littlebit_linear.h"

namespace littlebit {
namespace {

struct Shape {
  int64_t d_out, d_in, rank;
  int paths;
  bool bias;
};
// Below and above a block of rows, with rests of words, one of more pieces than one (4 Mi numbers).
const Shape kShapes[] = {{5, 7, 3, 1, true},
                         {96, 64, 16, 2, false},
                         {130, 100, 41, 2, true},
                         {33, 576, 79, 2, false},
                         {4100, 40, 1030, 2, true}};

struct Pair {
  LittleBitLinear expanded;
  PackedLinear packed;
};

Pair make(const Shape& shape, at::ScalarType dtype) {
  const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
  std::vector<SignPath> paths;
  std::vector<PackedPath> packed;
  for (int p = 0; p < shape.paths; ++p) {
    const auto signs = [&](int64_t rows, int64_t cols) {
      const at::Tensor words =
          at::randint(INT32_MIN, INT32_MAX, {(rows * cols + 31) / 32 + 4}, at::kInt);
      return SignMatrix(words, 128 % (words.numel() * 32 - rows * cols), rows, cols);
    };
    SignPath path{.U = signs(shape.d_out, shape.rank), .V = signs(shape.rank, shape.d_in)};
    path.u1 = at::randn({shape.d_out}, wide);
    path.u2 = at::randn({shape.rank}, wide);
    path.v1 = at::randn({shape.rank}, wide);
    path.v2 = at::randn({shape.d_in}, wide);
    packed.push_back({.U = PackedSigns(path.U.padded_words(), shape.rank, at::kCPU),
                      .V = PackedSigns(path.V.padded_words(), shape.d_in, at::kCPU),
                      .h = path.u1,
                      .l = path.v1 * path.u2,
                      .g = path.v2});
    paths.push_back(std::move(path));
  }
  const at::Tensor bias = shape.bias ? at::randn({shape.d_out}, wide) : at::Tensor();
  return {LittleBitLinear("layer", std::move(paths), bias, dtype),
          PackedLinear("layer", std::move(packed), bias, dtype)};
}

double relative_gap(const at::Tensor& got, const at::Tensor& want) {
  REQUIRE(got.sizes() == want.sizes());
  REQUIRE(got.scalar_type() == want.scalar_type());
  return (at::linalg_vector_norm(got.to(at::kDouble) - want.to(at::kDouble)) /
          at::linalg_vector_norm(want.to(at::kDouble)))
      .item<double>();
}

TEST_CASE("the inference form computes what the training form computes", "[packed]") {
  c10::NoGradGuard no_grad;
  at::manual_seed(1);
  for (const Shape& shape : kShapes) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      const Pair pair = make(shape, dtype);
      // Twice what was measured: sums in another order, 6e-7 in fp32; in bf16 the latent and each
      // scale are rounded on one side only, 2^-9 each and several of them: 6.7e-3.
      const double allowed = dtype == at::kFloat ? 1.3e-6 : dtype == at::kDouble ? 1e-14 : 1.4e-2;
      for (const int64_t rows : {int64_t{1}, int64_t{3}, PackedSigns::kFewRows,
                                 PackedSigns::kFewRows + 1, int64_t{40}}) {
        const at::Tensor x = at::randn({rows, shape.d_in}).to(dtype);
        INFO(shape.d_out << " x " << shape.d_in << ", rank " << shape.rank << ", rows " << rows
                         << ", " << c10::toString(dtype));
        const at::Tensor want = pair.expanded.forward(x);
        CHECK(relative_gap(pair.packed.forward(x), want) <= allowed);
        CHECK(relative_gap(pair.packed.forward(x.unsqueeze(0))[0], want) <= allowed);
      }
    }
  }
}

TEST_CASE("the latent stands between the factors", "[packed]") {
  c10::NoGradGuard no_grad;
  at::manual_seed(2);
  const Pair pair = make(kShapes[2], at::kFloat);
  CHECK(pair.packed.latent_size() == 82);
  CHECK(pair.expanded.latent_size() == 0);  // the training form gives none out
  const at::Tensor x = at::randn({2, 20, 100});
  const at::Tensor latent = pair.packed.to_latent(x);
  CHECK(latent.sizes() == at::IntArrayRef({2, 20, 82}));
  const LittleBitLinear::Weights weights = pair.expanded.expand();
  CHECK(relative_gap(latent, at::linear(x, weights.w1) * weights.l) <= 2e-6);
  CHECK(at::equal(pair.packed.from_latent(latent), pair.packed.forward(x)));
  // A row's latent does not depend on how many are made at a time, but for rounding.
  CHECK(relative_gap(pair.packed.to_latent(x[1].narrow(0, 4, 1)), latent[1].narrow(0, 4, 1)) <=
        2e-6);
}

TEST_CASE("a packed layer takes its bits and little else", "[packed]") {
  const Pair pair = make({1024, 512, 64, 2, false}, at::kFloat);
  const int64_t bits = 2 * 64 * (1024 + 512), scales = 2 * (1024 + 64 + 512);
  CHECK(pair.packed.bytes() == bits / 8 + 4 * scales);
}

}  // namespace
}  // namespace littlebit
