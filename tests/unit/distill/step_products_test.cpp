// The limit that a step is held against: its products, and their times alone.
#include "littlebit/distill/step_products.h"

#include <ATen/ATen.h>

#include <array>
#include <catch2/catch.hpp>

#include "littlebit/core/stopwatch.h"
#include "littlebit/models/model_spec.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

namespace littlebit {
namespace {

struct Scene {
  TempFolder folder;
  test::LoadedModel teacher{(test::write_tiny_llama(folder.path()), folder.path())};
  std::vector<LayerPlan> plans;
  Scene() {
    teacher.decoder.visit_linears([&](LinearSlot& slot) {
      plans.push_back(
          {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = 8, .paths = 2});
    });
  }
  std::vector<ScheduledProduct> products(bool recompute) const {
    return step_products(teacher.decoder.spec(), plans,
                         {.sequences = 2, .length = 16, .recompute = recompute});
  }
};

double flops(const std::vector<ScheduledProduct>& products) {
  double sum = 0;
  for (const ScheduledProduct& each : products) sum += each.times * each.product.flops();
  return sum;
}

TEST_CASE("a step's products, counted by hand; recomputation adds the student's forward") {
  const Scene scene;
  const ModelSpec& spec = scene.teacher.decoder.spec();
  const double rows = 2 * 16;
  double teacher = 0, student = 0;
  for (const LayerPlan& plan : scene.plans) {
    const auto in = static_cast<double>(plan.d_in), out = static_cast<double>(plan.d_out);
    teacher += 2 * rows * in * out;
    student += 2 * rows * 16 * (in + out);
  }
  const double head = 2 * rows * static_cast<double>(spec.vocab_size * spec.embedding_size);
  // Of 16 x 16 scores of a sequence and head a causal mask leaves 17 x 8.
  const double attention =
      2.0 * 2 * 17 * 8 * static_cast<double>(spec.num_heads * spec.head_dim * spec.num_layers);
  CHECK(flops(scene.products(false)) ==
        Approx(teacher + 3 * student + 3 * head + 2 * attention * (1 + 3)));
  CHECK(flops(scene.products(true)) - flops(scene.products(false)) ==
        Approx(student + 2 * attention));
}

TEST_CASE("times of products: known once measured, within a budget, and no number is drawn") {
  const Scene scene;
  const DeviceTimer timer(at::kCPU, 5);
  at::manual_seed(7);
  const at::Tensor want = at::randn({4});
  at::manual_seed(7);
  ProductTimes times(timer, at::kFloat, dense_weight(scene.teacher.decoder.head()));
  const std::optional<double> seconds = times.seconds_within(1e9, scene.products(true));
  REQUIRE(seconds.has_value());
  CHECK(*seconds > 0);
  CHECK(times.seconds(scene.products(true)) == Approx(*seconds));
  CHECK(at::equal(at::randn({4}), want));
  ProductTimes others(timer, at::kFloat);
  CHECK_FALSE(others.seconds_within(0, scene.products(true)).has_value());
  // What no machine has room for is not tried, nor what the smaller ones say takes too long.
  const ScheduledProduct wide = {{.m = 1 << 20, .n = 1 << 20, .k = 1 << 10}, 1};
  CHECK_FALSE(others.seconds_within(1e9, std::array{wide}).has_value());
  const std::array rising = {ScheduledProduct{{.m = 256, .n = 256, .k = 256}, 1},
                             ScheduledProduct{{.m = 4096, .n = 4096, .k = 16384}, 1}};
  const Stopwatch stopwatch;
  CHECK_FALSE(others.seconds_within(0.5, rising).has_value());
  CHECK(stopwatch.seconds() < 10);  // half a TFLOP six times takes longer
}

TEST_CASE("a timer measures operands that are cold, and gives the median") {
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == 2.5);
  const DeviceTimer timer(at::kCPU, 3);
  const at::Tensor values = at::ones({1 << 16});
  int runs = 0;
  CHECK(timer.cold({values}, [&] { runs += values.sum().item<float>() == 1 << 16 ? 1 : 0; }) > 0);
  CHECK(runs == 4);  // the first is not counted
}

}  // namespace
}  // namespace littlebit
