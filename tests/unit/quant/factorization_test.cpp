// Dual-SVID: the randomised SVD against the exact one and against svd_lowrank's recipe, rank-1
// fits, whole models.
#include "littlebit/quant/factorization.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <catch2/catch.hpp>

#include "littlebit/core/error.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/quant/randomized_svd.h"
#include "littlebit/quant/starts.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

using namespace littlebit;

namespace {

double relative_error(const at::Tensor& w, const at::Tensor& approximation) {
  return ((w - approximation).norm() / w.norm()).item<double>();
}

// A matrix with a spectrum like a weight's: a few strong directions, then a slow decay.
at::Tensor weight_like(int64_t m, int64_t n) {
  const int64_t k = std::min(m, n);
  const at::Tensor u = std::get<0>(at::linalg_qr(at::randn({m, k}))),
                   v = std::get<0>(at::linalg_qr(at::randn({n, k})));
  const at::Tensor s = at::arange(1, k + 1).to(at::kFloat).pow(-0.4);
  return at::matmul(u * s, v.t());
}

// torch.svd_lowrank(w, q=r, niter=2), centred on nothing: no oversampling, two power iterations.
at::Tensor svd_lowrank_product(const at::Tensor& w, int64_t r) {
  at::Tensor q = std::get<0>(at::linalg_qr(at::matmul(w, at::randn({w.size(1), r}))));
  for (int i = 0; i < 2; ++i) {
    q = std::get<0>(at::linalg_qr(at::matmul(w.t(), q)));
    q = std::get<0>(at::linalg_qr(at::matmul(w, q)));
  }
  return at::matmul(q, at::matmul(q.t(), w));
}

}  // namespace

TEST_CASE(
    "randomised SVD: no worse than svd_lowrank(q=r, niter=2), within 2.5 % of the "
    "exact truncation") {
  at::manual_seed(1);
  for (const auto& [m, n, r] :
       {std::tuple<int64_t, int64_t, int64_t>{256, 256, 40}, {300, 120, 64}, {120, 300, 8}}) {
    const at::Tensor w = weight_like(m, n);
    const LowRank got = randomized_svd(w, r, {}, 7, "test");
    const double error = relative_error(w, at::matmul(got.left, got.right));
    const auto [u, s, vh] = at::linalg_svd(w, false);
    const double exact =
        relative_error(w, at::matmul(u.narrow(1, 0, r) * s.narrow(0, 0, r), vh.narrow(0, 0, r)));
    CHECK(error <= relative_error(w, svd_lowrank_product(w, r)));
    CHECK(error <= exact * 1.025);  // a slowly decaying spectrum, as here, is the hard case
    // Both sides carry sqrt(S): the leading columns (rows) have the singular values as squared
    // norms.
    const at::Tensor leading = s.narrow(0, 0, r / 4);
    CHECK(at::allclose(got.left.square().sum(0).narrow(0, 0, r / 4), leading, 1e-2));
    CHECK(at::allclose(got.right.square().sum(1).narrow(0, 0, r / 4), leading, 1e-2));
  }
}

TEST_CASE("randomised SVD of what has no more rank: exact, finite, also for zero and full rank") {
  at::manual_seed(2);
  const at::Tensor low = at::matmul(at::randn({60, 5}), at::randn({5, 80}));
  const LowRank got = randomized_svd(low, 16, {}, 7, "test");
  CHECK(relative_error(low, at::matmul(got.left, got.right)) < 1e-5);
  CHECK(at::isfinite(got.left).all().item<bool>());
  const LowRank zero = randomized_svd(at::zeros({16, 24}), 8, {}, 7, "test");
  CHECK(zero.left.abs().max().item<float>() == 0);
  CHECK(zero.right.abs().max().item<float>() == 0);
  const at::Tensor square = at::randn({32, 32});
  const LowRank full = randomized_svd(square, 32, {}, 7, "test");
  CHECK(relative_error(square, at::matmul(full.left, full.right)) < 1e-5);
}

TEST_CASE("randomised SVD: directions far apart, repeated or alone are all found") {
  at::manual_seed(5);
  const auto with_spectrum = [](int64_t m, int64_t n, const at::Tensor& s) {
    const at::Tensor u = std::get<0>(at::linalg_qr(at::randn({m, s.size(0)}))),
                     v = std::get<0>(at::linalg_qr(at::randn({n, s.size(0)})));
    return at::matmul(u * s, v.t());
  };
  const at::Tensor places = at::arange(0, 90).to(at::kFloat);
  // Ten decades within the rank: the Gram matrix of such rows is singular in fp32.
  const at::Tensor steep = with_spectrum(90, 130, at::pow(10, -places / 8));
  const LowRank got = randomized_svd(steep, 40, {}, 7, "test");
  // What fp32 leaves of the entries: about 1e-7 of the largest direction.
  CHECK(relative_error(steep, at::matmul(got.left, got.right)) < 2e-5);
  CHECK(at::isfinite(got.left).all().item<bool>());
  CHECK(at::isfinite(got.right).all().item<bool>());
  // One direction a million times the rest, which is flat; and a few columns with everything.
  const at::Tensor lone = with_spectrum(90, 130, at::where(places == 0, 1e6, 1.0).to(at::kFloat));
  const at::Tensor rest = lone - at::matmul(randomized_svd(lone, 8, {}, 7, "test").left,
                                            randomized_svd(lone, 8, {}, 7, "test").right);
  CHECK(rest.norm().item<double>() < 1.05 * std::sqrt(82.0));
  at::Tensor sparse = at::zeros({200, 160});
  for (int64_t i = 0; i < 24; ++i) sparse[7 * i][5 * i] = static_cast<float>(i + 1);
  const LowRank found = randomized_svd(sparse, 24, {}, 7, "test");
  CHECK(relative_error(sparse, at::matmul(found.left, found.right)) < 1e-5);
}

TEST_CASE("a weight whose square overflows is refused by its layer's name") {
  at::Tensor w = weight_like(32, 32);
  w[3][4] = 1e20f;
  const LayerPlan plan{.name = "model.q", .d_in = 32, .d_out = 32, .rank = 8, .paths = 2};
  CHECK_THROWS_AS(factorize_layer({.weight = w, .plan = plan, .seed = 1}, {}), InputError);
  CHECK_THROWS_WITH(factorize_layer({.weight = w, .plan = plan, .seed = 1}, {}),
                    Catch::Contains("model.q"));
  w[3][4] = 1e12f;  // odd, but a number all the way
  CHECK(std::isfinite(factorize_layer({.weight = w, .plan = plan, .seed = 1}, {}).relative_error));
}

TEST_CASE("rank_one is the exact rank-1 SVD's, non-negative, split evenly") {
  at::manual_seed(3);
  for (const at::Tensor& a :
       {at::randn({50, 20}).abs(), at::rand({8, 300}), at::outer(at::rand({9}), at::rand({4}))}) {
    const RankOne got = rank_one(a);
    const auto [u, s, vh] = at::linalg_svd(a, false);
    CHECK(at::allclose(at::outer(got.row, got.column), at::outer(u.select(1, 0), vh[0]) * s[0],
                       1e-4, 1e-5));
    CHECK(got.row.min().item<float>() >= 0);
    CHECK(got.column.min().item<float>() >= 0);
    CHECK(got.row.norm().item<double>() == Approx(std::sqrt(s[0].item<double>())).epsilon(1e-4));
  }
  const RankOne zero = rank_one(at::zeros({4, 6}));
  CHECK(zero.row.abs().max().item<float>() == 0);
}

TEST_CASE("a layer: deterministic, the residual path and Joint-ITQ lower the error") {
  at::manual_seed(4);
  const at::Tensor w = weight_like(128, 192);
  QuantOptions options;
  const LayerPlan one{.name = "l", .d_in = 192, .d_out = 128, .rank = 24, .paths = 1};
  LayerPlan two = one;
  two.paths = 2;
  const LayerFactors a = factorize_layer({.weight = w, .plan = two, .seed = 5}, options),
                     b = factorize_layer({.weight = w, .plan = two, .seed = 5}, options);
  CHECK(at::equal(a.paths[1].U, b.paths[1].U));
  CHECK(at::equal(a.paths[0].u1, b.paths[0].u1));
  CHECK_FALSE(at::equal(
      a.paths[0].U, factorize_layer({.weight = w, .plan = two, .seed = 6}, options).paths[0].U));
  const at::Tensor sum = effective_weight(a.paths[0]) + effective_weight(a.paths[1]);
  CHECK(a.relative_error == Approx(relative_error(w, sum)).epsilon(1e-4));
  const double single =
      factorize_layer({.weight = w, .plan = one, .seed = 5}, options).relative_error;
  CHECK(a.relative_error < single);
  options.init = "joint_itq";
  CHECK(factorize_layer({.weight = w, .plan = one, .seed = 5}, options).relative_error < single);
}

TEST_CASE(
    "a model is factorised the same for any number of threads; weights that are not finite are "
    "named") {
  TempFolder temp;
  test::write_tiny_llama(temp.path());
  const test::LoadedModel model(temp.path());
  QuantOptions options;
  const int threads = at::get_num_threads();
  const auto bits_with = [&](int count) {
    at::set_num_threads(count);
    Decoder open = open_decoder(model.decoder);
    const std::vector<LayerPlan> plans = plan_model(open, options);
    Student student(std::move(open), plans);
    int calls = 0;
    StudentSink sink(student);
    const auto reports = factorize_model(sink, model.folder, plans, options, 42,
                                         [&](const LayerReport&) { ++calls; });
    CHECK(calls == 14);
    CHECK(reports[3].plan.name == plans[3].name);
    CHECK(reports[3].relative_error > 0);
    return student.groups()[2].bits().clone();
  };
  const at::Tensor one = bits_with(1), two = bits_with(2);
  at::set_num_threads(threads);
  CHECK(at::equal(one, two));
  CHECK(one.ne(0).any().item<bool>());
}
