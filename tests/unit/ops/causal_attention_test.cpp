// Attention in blocks against sums over single numbers in fp64, across the borders of blocks, and
// the loops of every instruction set against one another.
#include "littlebit/ops/causal_attention.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "littlebit/kernels/attention.h"

namespace littlebit {
namespace {

struct Shape {
  int64_t batch, heads, kv_heads, length, size, window;
  double softcap;
};

at::Tensor by_hand(const Shape& shape, const at::Tensor& queries, const at::Tensor& keys,
                   const at::Tensor& values, double scale) {
  const at::Tensor wide_q = queries.to(at::kDouble), wide_k = keys.to(at::kDouble),
                   wide_v = values.to(at::kDouble);
  const auto q = wide_q.accessor<double, 4>(), k = wide_k.accessor<double, 4>(),
             v = wide_v.accessor<double, 4>();
  const at::Tensor result = at::zeros(queries.sizes(), at::kDouble);
  auto y = result.accessor<double, 4>();
  const int64_t group = shape.heads / shape.kv_heads;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t n = 0; n < shape.heads; ++n) {
      for (int64_t i = 0; i < shape.length; ++i) {
        double sum = 0;
        for (int64_t j = shape.window > 0 ? std::max<int64_t>(0, i - shape.window + 1) : 0; j <= i;
             ++j) {
          double score = 0;
          for (int64_t d = 0; d < shape.size; ++d) score += q[b][n][i][d] * k[b][n / group][j][d];
          score *= scale;
          if (shape.softcap > 0) score = shape.softcap * std::tanh(score / shape.softcap);
          sum += std::exp(score);
          for (int64_t d = 0; d < shape.size; ++d) {
            y[b][n][i][d] += std::exp(score) * v[b][n / group][j][d];
          }
        }
        for (int64_t d = 0; d < shape.size; ++d) y[b][n][i][d] /= sum;
      }
    }
  }
  return result;
}

double gap(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b).norm().item<double>() / b.norm().item<double>();
}

}  // namespace

TEST_CASE("attention in blocks is the formula's, whatever the blocks' borders") {
  at::manual_seed(3);
  for (const Shape& shape :
       {Shape{1, 2, 1, 257, 6, 0, 0}, Shape{2, 3, 3, 63, 7, 0, 0}, Shape{1, 2, 2, 330, 4, 300, 0},
        Shape{1, 4, 2, 161, 8, 33, 2}, Shape{1, 1, 1, 64, 2, 64, 0}, Shape{1, 1, 1, 2, 1, 1, 0}}) {
    INFO(shape.length << " positions, window " << shape.window);
    const auto numbers = [&](int64_t heads, at::ScalarType dtype) {
      return at::randn({shape.batch, shape.length, heads, shape.size}).to(dtype).transpose(1, 2);
    };
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      const at::Tensor q = numbers(shape.heads, dtype), k = numbers(shape.kv_heads, dtype),
                       v = numbers(shape.kv_heads, dtype);
      const at::Tensor want = by_hand(shape, q, k, v, 0.7);
      const auto [y, log_sum] = CausalAttention::call(q, k, v, 0.7, shape.window, shape.softcap);
      CHECK(y.scalar_type() == dtype);
      CHECK(y.transpose(1, 2).is_contiguous());
      // Weights and results in bf16 are each off by up to 2^-9.
      CHECK(gap(y, want) < (dtype == at::kFloat ? 1e-6 : 5e-3));
      // The same numbers however they lie.
      const auto [again, sums] = CausalAttention::call(
          q.contiguous(), k.contiguous(), v.contiguous(), 0.7, shape.window, shape.softcap);
      CHECK(at::equal(again, y));
      CHECK(at::equal(sums, log_sum));
    }
  }
}

TEST_CASE("a number that is none reaches every query that sees it, and no other") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const double bad : {std::nan(""), HUGE_VAL}) {
      const at::Tensor q = at::ones({1, 1, 100, 4}, dtype), k = q.clone(), v = q.clone();
      k[0][0][50][1] = bad;
      const at::Tensor y = std::get<0>(CausalAttention::call(q, k, v, 1, 20, 0));
      const at::Tensor finite = y.isfinite().all(-1)[0][0];
      for (int64_t i = 0; i < 100; ++i) {
        INFO(i);
        CHECK(finite[i].item<bool>() == (i < 50 || i >= 70));
      }
    }
  }
}

TEST_CASE("shapes that are no attention are refused") {
  const at::Tensor q = at::ones({1, 3, 5, 4}), k = at::ones({1, 2, 5, 4});
  CHECK_THROWS_AS(CausalAttention::call(q, k, k, 1, 0, 0), c10::Error);
  CHECK_THROWS_AS(CausalAttention::call(q, q, at::ones({1, 3, 4, 4}), 1, 0, 0), c10::Error);
}

TEST_CASE("weights and their gradients are the same by every instruction set") {
  at::manual_seed(5);
  constexpr int64_t kRows = 10, kKeys = 48, kStride = 64;
  const at::Tensor scores = at::randn({kRows, kStride}), d = at::randn({kRows, kStride});
  const at::Tensor log_sum = at::randn({kStride}), delta = at::randn({kStride});
  for (const float softcap : {0.0F, 2.0F}) {
    const AttentionRule rule{.window = 30, .scale = 0.5, .softcap = softcap};
    std::vector<at::Tensor> wanted;
    for (const Instructions use :
         {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
      if (use > best_instructions()) continue;
      const at::Tensor s = scores.clone(), most = at::full({kRows}, -1.0F), sum = at::ones({kRows}),
                       output = at::ones({kRows, 3}), by_weight = d.clone(), back = scores.clone();
      attention_weights(AttentionBlock<float>{rule, 70, kRows, 32, kKeys, s.data_ptr<float>(),
                                              s.data_ptr<float>(), kStride, most.data_ptr<float>(),
                                              sum.data_ptr<float>(), output.data_ptr<float>(), 3},
                        use);
      attention_gradient(
          AttentionGradientBlock<float>{rule, 40, 40, 45, kRows, back.data_ptr<float>(),
                                        by_weight.data_ptr<float>(), log_sum.data_ptr<float>(),
                                        delta.data_ptr<float>(), back.data_ptr<float>(),
                                        by_weight.data_ptr<float>(), kStride},
          use);
      const std::vector<at::Tensor> got = {
          s.narrow(1, 0, kKeys), most, sum, output, back, by_weight};
      if (wanted.empty()) wanted = got;
      for (size_t i = 0; i < got.size(); ++i) {
        CHECK(at::allclose(got[i], wanted[i], 1e-5, 1e-6));
      }
    }
    // Query 70 sees keys 41 to 70.
    CHECK(wanted[0][0][8].item<float>() == 0);
    CHECK(wanted[0][0][9].item<float>() > 0);
    CHECK(wanted[0][0][38].item<float>() > 0);
    CHECK(wanted[0][0][39].item<float>() == 0);
    // Key 45 is seen by queries 45 to 74; from place 40 on there is none.
    CHECK(wanted[4][0][4].item<float>() == 0);
    CHECK(wanted[4][0][5].item<float>() > 0);
    CHECK(wanted[4][0][34].item<float>() > 0);
    CHECK(wanted[4][0][35].item<float>() == 0);
    CHECK(wanted[4][9][39].item<float>() > 0);
    CHECK(wanted[4][9].narrow(0, 40, 24).abs().sum().item<float>() == 0);
  }
}

}  // namespace littlebit
