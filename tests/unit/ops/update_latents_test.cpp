// The two passes of an update, one number at a time, by every instruction set; and moments in fewer
// bits: what a code is, and that rounding by chance keeps the mean.
#include "littlebit/ops/update_latents.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "littlebit/core/rng.h"
#include "littlebit/ops/latent_gradients.h"
#include "littlebit/ops/update_signs.h"

namespace littlebit {
namespace {

constexpr Instructions kAll[] = {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512};

// Latents with their moments of a type, all 0.
struct Held {
  at::Tensor latents, words, flips = at::zeros({1}, at::kLong);
  LatentMoments moments;

  Held(const at::Tensor& start, at::ScalarType kept) : latents(start.clone()) {
    const int64_t count = latents.numel();
    const int64_t scales = kept == at::kByte ? count / kMomentBlock : 0;
    moments = {at::zeros({count}, kept), at::zeros({count}, kept), at::zeros({scales}),
               at::zeros({scales})};
    words = at::zeros({count / 32}, at::kInt);
    update_signs(latents, words);
  }
  void step(const at::Tensor& gradients, const LatentStep& by, float clip = 1) {
    update_latents(gradients, latents, moments, words, flips, at::full({}, clip), by);
  }
};

double error_of(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).norm() / want.norm()).item<double>();
}

TEST_CASE("gradients of latents are what their numbers say, across the borders of parts") {
  at::manual_seed(6);
  constexpr int64_t kPart = LatentGradientJob::kPart;
  for (const int64_t count : {int64_t{1}, int64_t{1000}, kPart + 1, 3 * kPart - 7}) {
    for (const bool smooth : {true, false}) {
      const at::Tensor given = at::randn({count});
      const at::Tensor latents = at::randn({count}) * (smooth ? 0.02 : 1);
      double squares = 0;
      at::Tensor want = at::empty({count}, at::kDouble);
      for (int64_t i = 0; i < count; ++i) {
        const double x = latents.data_ptr<float>()[i], t = std::tanh(100 * x);
        const double slope = smooth ? 100 * (1 - t * t) : std::abs(x) < 1 ? 1 : 0;
        const double g = given.data_ptr<float>()[i] * slope;
        want.data_ptr<double>()[i] = g;
        squares += g * g;
      }
      for (const Instructions use : kAll) {
        if (use > best_instructions()) continue;
        INFO(count << " numbers, " << (smooth ? "smooth" : "ste"));
        const at::Tensor g = given.clone();
        LatentGradientJob job{g.data_ptr<float>(), latents.data_ptr<float>(), nullptr, count,
                              smooth};
        std::vector<double> partial(static_cast<size_t>(job.parts()));
        job.partial = partial.data();
        make_latent_gradients(job, 0, job.parts(), use);
        double got = 0;
        for (const double part : partial) got += part;
        // 1 - tanh^2 of fp32 is good to 2^-23 of the 1.
        CHECK(got == Approx(squares).epsilon(1e-5));
        CHECK((g - want).abs().max().item<double>() < 1e-4);
      }
    }
  }
  // Far out it is 0, and not what is left of it in fp64: AdamW would make a whole step of that.
  const at::Tensor far = at::full({64}, 0.095F), g = at::ones({64});
  CHECK(latent_gradients(g, far, /*smooth=*/true).item<double>() == 0);
  const at::Tensor edge = at::tensor({1.0F, -1.0F, std::nextafter(1.0F, 0.0F), NAN});
  const at::Tensor ones = at::ones({4});
  CHECK(latent_gradients(ones, edge, /*smooth=*/false).item<double>() == 1);
}

TEST_CASE("every instruction set moves latents alike, and the signs with them") {
  at::manual_seed(2);
  const int64_t count = 70 * kMomentBlock;
  const at::Tensor start = at::randn({count}) * 0.01, gradients = at::randn({count});
  for (const at::ScalarType kept : {at::kFloat, at::kBFloat16, at::kByte}) {
    INFO(c10::toString(kept));
    Held want(start, kept);
    for (int64_t k = 1; k <= 3; ++k) want.step(gradients, {0.01, 0.9, 0.999, 1e-8, 0.1, k});
    CHECK(want.flips.item<int64_t>() > 100);
    for (const Instructions use : kAll) {
      if (use > best_instructions()) continue;
      Held got(start, kept);
      for (int64_t k = 1; k <= 3; ++k) {
        UpdateLatents::with_job(gradients, got.latents, got.moments.exp_avg, got.moments.exp_avg_sq,
                                got.moments.average_scales, got.moments.root_scales, got.words,
                                got.flips, at::ones({}), 0.01, 0.9, 0.999, 1e-8, 0.1, k, 0, 0,
                                [&](const auto& job) {
                                  // In two parts: blocks do not know of each other.
                                  *job.flips += move_latents(job, 0, 33, use);
                                  *job.flips += move_latents(job, 33, job.blocks, use);
                                });
      }
      // Where the last bit of fp32 differs, chance may have decided the other way.
      CHECK(error_of(got.latents, want.latents) < (kept == at::kFloat ? 1e-6 : 1e-4));
      const at::Tensor words = at::zeros({count / 32}, at::kInt);
      update_signs(got.latents, words);
      CHECK(at::equal(got.words, words));
      const int64_t flips = got.flips.item<int64_t>();
      CHECK(std::abs(flips - want.flips.item<int64_t>()) <= 3);
    }
  }
}

TEST_CASE("a step that is not finite changes nothing") {
  at::manual_seed(3);
  const at::Tensor start = at::randn({3 * kMomentBlock}), gradients = at::randn_like(start);
  for (const at::ScalarType kept : {at::kFloat, at::kBFloat16, at::kByte}) {
    Held held(start, kept);
    held.step(gradients, {0.01, 0.9, 0.999, 1e-8, 0, 1});
    const Held before = held;
    const at::Tensor latents = held.latents.clone(), average = held.moments.exp_avg.clone(),
                     square = held.moments.exp_avg_sq.clone();
    for (const float clip : {NAN, INFINITY, -INFINITY}) {
      held.step(gradients, {0.01, 0.9, 0.999, 1e-8, 0, 2}, clip);
      CHECK(at::equal(held.latents, latents));
      CHECK(at::equal(held.moments.exp_avg, average));
      CHECK(at::equal(held.moments.exp_avg_sq, square));
    }
  }
}

TEST_CASE("a slice in pieces rounds as the whole does: by place and step, not by who asks") {
  at::manual_seed(4);
  const int64_t count = 40 * kMomentBlock, half = 13 * kMomentBlock;
  const at::Tensor start = at::randn({count}), gradients = at::randn({count});
  for (const at::ScalarType kept : {at::kBFloat16, at::kByte}) {
    Held whole(start, kept);
    LatentStep by{0.01, 0.9, 0.999, 1e-8, 0, 1, /*group=*/2};
    whole.step(gradients, by);
    Held left(start.narrow(0, 0, half), kept), right(start.narrow(0, half, count - half), kept);
    left.step(gradients.narrow(0, 0, half).clone(), by);
    by.first = half;
    right.step(gradients.narrow(0, half, count - half).clone(), by);
    CHECK(at::equal(at::cat({left.latents, right.latents}), whole.latents));
    CHECK(at::equal(at::cat({left.moments.exp_avg, right.moments.exp_avg}), whole.moments.exp_avg));
    CHECK(at::equal(at::cat({left.moments.exp_avg_sq, right.moments.exp_avg_sq}),
                    whole.moments.exp_avg_sq));
    // Another group, or another step, rounds otherwise.
    for (const auto& [group, step] : {std::pair<int64_t, int64_t>{3, 1}, {2, 2}}) {
      Held other(start, kept);
      other.step(gradients, {0.01, 0.9, 0.999, 1e-8, 0, step, group});
      CHECK_FALSE(at::equal(other.moments.exp_avg, whole.moments.exp_avg));
    }
  }
}

TEST_CASE("the random numbers are the project's Philox") {
  for (const uint64_t block : {uint64_t{0}, uint64_t{7}, uint64_t{1} << 33}) {
    for (const uint32_t lane : {0U, 31U}) {
      uint32_t words[4];
      moment_bits({5, 9}, block, lane, words);
      const auto want = philox4x32(
          {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32) << 5 | lane, 5, 9},
          {0x6D6F6D65, 0x6E747321});
      for (size_t k = 0; k < 4; ++k) CHECK(words[k] == want[k]);
    }
  }
}

TEST_CASE("codes of 8 bits: every one is read as it was made, in order, and the mean stays") {
  float last = 0;
  for (uint32_t code = 1; code < 128; ++code) {
    const float size = average_of_code(static_cast<uint8_t>(code));
    CHECK(size > last);
    last = size;
    for (const uint32_t chance : {0U, 0xFFFFU}) {
      CHECK(average_code(size, chance) == code);
      CHECK(average_code(-size, chance) == (code | 0x80));
    }
    CHECK(average_of_code(static_cast<uint8_t>(code | 0x80)) == -size);
  }
  CHECK(last == 1);
  last = 0;
  for (uint32_t code = 1; code < 256; ++code) {
    const float size = root_of_code(static_cast<uint8_t>(code));
    CHECK(size > last);
    last = size;
    for (const uint32_t chance : {0U, 0xFFFFU}) CHECK(root_code(size, chance) == code);
  }
  CHECK(last == 1);
  // Whatever the size, also below the smallest code.
  for (const float size : {0.9F, 0.3F, 0.0101F, 3e-4F, 1e-5F, 1e-6F}) {
    INFO(size);
    double average = 0, root = 0, narrow = 0;
    for (uint32_t chance = 0; chance < 0x10000; ++chance) {
      average += average_of_code(average_code(size, chance));
      root += root_of_code(root_code(size, chance));
      uint32_t bits = uint32_t{bf16_by_chance(size, chance)} << 16;
      narrow += moment_float(bits);
    }
    CHECK(average / 0x10000 == Approx(size).epsilon(1e-3));
    CHECK(narrow / 0x10000 == Approx(size).epsilon(1e-5));
    if (size > 2e-5F) CHECK(root / 0x10000 == Approx(size).epsilon(1e-3));
  }
  // AdamW divides by the root: what is not 0 does not become 0.
  CHECK(root_code(1e-12F, 0) == 1);
  CHECK(root_code(0, 0xFFFF) == 0);
  CHECK(average_code(0, 0xFFFF) == 0);
}

TEST_CASE("averages follow in few bits, where rounding to the nearest would stand still") {
  at::manual_seed(8);
  const int64_t count = 64 * kMomentBlock;
  const at::Tensor start = at::zeros({count});
  const at::Tensor loud = at::randn({count}), quiet = loud * 0.05;
  Held exact(start, at::kFloat), narrow(start, at::kBFloat16), coded(start, at::kByte);
  at::Tensor nearest = at::zeros({count}, at::kBFloat16);
  for (int64_t k = 1; k <= 700; ++k) {
    const at::Tensor& g = k <= 100 ? loud : quiet;
    for (Held* held : {&exact, &narrow, &coded}) held->step(g, {1e-3, 0.9, 0.999, 1e-8, 0, k});
    nearest = (nearest.to(at::kFloat) * 0.999F + 0.001F * g * g).to(at::kBFloat16);
  }
  // The mean of the squares has fallen by nearly half since step 100.
  const double want = exact.moments.exp_avg_sq.mean().item<double>();
  CHECK(nearest.to(at::kFloat).mean().item<double>() > 1.5 * want);
  CHECK(narrow.moments.exp_avg_sq.to(at::kFloat).mean().item<double>() ==
        Approx(want).epsilon(0.01));
  CHECK(error_of(narrow.moments.exp_avg_sq.to(at::kFloat), exact.moments.exp_avg_sq) < 0.1);
  at::Tensor squares = at::empty({count});
  for (int64_t i = 0; i < count; ++i) {
    const float root = root_of_code(coded.moments.exp_avg_sq.data_ptr<uint8_t>()[i]) *
                       coded.moments.root_scales.data_ptr<float>()[i / kMomentBlock];
    squares.data_ptr<float>()[i] = root * root;
  }
  // Roots that keep their mean have squares a little above it.
  CHECK(squares.mean().item<double>() == Approx(want).epsilon(0.05));
  WARN("latents after 700 steps: bf16 " << error_of(narrow.latents, exact.latents) << ", 8 bits "
                                        << error_of(coded.latents, exact.latents));
  CHECK(error_of(narrow.latents, exact.latents) < 0.02);
  CHECK(error_of(coded.latents, exact.latents) < 0.1);
}

TEST_CASE("what does not fit together is refused") {
  const at::Tensor start = at::zeros({2 * kMomentBlock});
  Held held(start, at::kByte);
  const LatentStep by{0.01, 0.9, 0.999, 1e-8, 0, 1};
  CHECK_THROWS(held.step(at::zeros({kMomentBlock}), by));
  held.moments.root_scales = at::zeros({1});
  CHECK_THROWS(held.step(at::zeros_like(start), by));
  Held odd(at::zeros({96}), at::kFloat);
  CHECK_THROWS(odd.step(at::zeros({96}), by));
  Held half(start, at::kHalf);
  CHECK_THROWS(half.step(at::zeros_like(start), by));
}

}  // namespace
}  // namespace littlebit
