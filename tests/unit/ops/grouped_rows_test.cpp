// Grouped matrices against ATen's products of their widened entries.
#include "littlebit/ops/grouped_rows.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>

namespace littlebit {
namespace {

double relative_gap(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kDouble) - want).norm() / want.norm()).item<double>();
}

}  // namespace

TEST_CASE("a matrix in groups: rows, look-ups and products are those of its entries") {
  at::manual_seed(3);
  for (const int bits : {8, 4}) {
    const at::Tensor from = at::randn({301, 200}) * 0.02;
    const GroupedRows matrix = group_rows(from, bits, 64);
    CHECK(matrix.rows() == 301);
    CHECK(matrix.groups() == 4);
    CHECK(matrix.size() == 64);
    CHECK(matrix.bits() == bits);
    const at::Tensor wide = widen_rows(matrix, 0, 301);
    CHECK(wide.scalar_type() == at::kFloat);
    // Half a step of 1 / 128, of 1 / 8 of the largest of 64 normal numbers.
    CHECK(relative_gap(wide, from.to(at::kDouble)) < (bits == 8 ? 0.008 : 0.1));
    CHECK(relative_gap(wide, from.to(at::kDouble)) > (bits == 8 ? 0.001 : 0.05));
    CHECK(at::equal(widen_rows(matrix, 17, 5), wide.narrow(0, 17, 5)));
    const at::Tensor ids = at::randint(301, {3, 7}, at::kLong);
    CHECK(at::equal(look_up(matrix, ids), wide.index_select(0, ids.flatten()).view({3, 7, 200})));
    CHECK(at::equal(look_up(matrix, ids[0][0]), wide[ids[0][0].item<int64_t>()]));

    const at::Tensor exact = wide.to(at::kDouble).t();
    for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble}) {
      for (const int64_t rows : {1, 4, 5, 70}) {
        const at::Tensor x = at::randn({rows, 1, 200}).to(type);
        const at::Tensor y = grouped_product(x, matrix);
        CHECK(y.sizes() == at::IntArrayRef({rows, 1, 301}));
        CHECK(y.scalar_type() == (type == at::kDouble ? at::kDouble : at::kFloat));
        CHECK(relative_gap(y, at::matmul(x.to(at::kDouble), exact)) <
              (type == at::kDouble ? 1e-14 : 1e-6));
      }
    }
    // A vector, and nothing at all.
    CHECK(grouped_product(at::randn({200}), matrix).sizes() == at::IntArrayRef({301}));
    CHECK(grouped_product(at::randn({0, 200}), matrix).sizes() == at::IntArrayRef({0, 301}));
  }
}

TEST_CASE("a matrix in groups is the same, whatever the type and the order it comes in") {
  const at::Tensor from = (at::randn({70, 96}) * 0.5).to(at::kBFloat16);
  const GroupedRows want = group_rows(from, 4, 32);
  for (const at::Tensor& same : {from.to(at::kDouble), from.t().contiguous().t()}) {
    const GroupedRows got = group_rows(same, 4, 32);
    CHECK(at::equal(got.numbers, want.numbers));
    CHECK(at::equal(got.scales, want.scales));
  }
}

}  // namespace littlebit
