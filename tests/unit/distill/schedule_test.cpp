// The schedule's surroundings: sequences of changing length, weights of the losses, expanded
// weights that are gone after the step, and where its time is said to go.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "littlebit/distill/kl_divergence.h"
#include "littlebit/distill/step.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using littlebit::test::TinyTraining;

namespace {

at::Tensor some_ids(int64_t sequences, int64_t length, int64_t vocabulary = 48) {
  return at::randint(vocabulary, {sequences, length}, at::TensorOptions().dtype(at::kLong));
}

std::vector<at::Tensor> taken_gradients(std::vector<GroupGradients>& gradients) {
  std::vector<at::Tensor> taken;
  for (GroupGradients& group : gradients) {
    if (group.is_empty()) continue;
    group.finish();
    taken.push_back(group.latents().clone());
    taken.push_back(group.vectors().clone());
    group.clear();
  }
  return taken;
}

bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
}

}  // namespace

TEST_CASE("sequences of another length take the positions of their own") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path());
  TinyTraining bench(folder.path());
  at::manual_seed(1);
  DistillationStep step(bench.teacher.decoder, *bench.student, {}, Recompute::kFull);
  for (GroupGradients& group : bench.gradients) group.clear();  // of none: nothing
  for (const int64_t length : {8, 21, 5, 21}) {
    INFO(length << " positions");
    const at::Tensor ids = some_ids(2, length);
    DistillationStep fresh(bench.teacher.decoder, *bench.student, {}, Recompute::kFull);
    const DistillationLoss want = fresh.accumulate(ids, 2, bench.gradients);
    const std::vector<at::Tensor> want_gradients = taken_gradients(bench.gradients);
    const DistillationLoss got = step.accumulate(ids, 2, bench.gradients);
    CHECK(got.read_kl() == want.read_kl());
    CHECK(got.read_hidden() == want.read_hidden());
    CHECK(same(taken_gradients(bench.gradients), want_gradients));
  }
}

TEST_CASE("the weights of the two losses scale them and their gradients") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path());
  TinyTraining bench(folder.path());
  at::manual_seed(1);
  const at::Tensor ids = some_ids(2, 9);
  struct Run {
    DistillationLoss loss;
    std::vector<at::Tensor> gradients;
  };
  const auto run = [&](double kl, double hidden) {
    DistillationStep step(bench.teacher.decoder, *bench.student,
                          {.kl_weight = kl, .hidden_weight = hidden}, Recompute::kFull);
    const DistillationLoss loss = step.accumulate(ids, 2, bench.gradients);
    return Run{loss, taken_gradients(bench.gradients)};
  };
  const Run kl = run(1, 0), hidden = run(0, 1), both = run(3, 7);
  CHECK(kl.loss.read_kl() > 0);
  CHECK(kl.loss.read_hidden() == 0);
  CHECK(hidden.loss.read_kl() == 0);
  CHECK(hidden.loss.read_hidden() > 0);
  CHECK(both.loss.read_kl() == Approx(3 * kl.loss.read_kl()));
  CHECK(both.loss.read_hidden() == Approx(7 * hidden.loss.read_hidden()));
  CHECK(both.loss.total().item<double>() == both.loss.read_kl() + both.loss.read_hidden());
  for (size_t i = 0; i < both.gradients.size(); ++i) {
    const at::Tensor want = 3 * kl.gradients[i] + 7 * hidden.gradients[i];
    if (want.numel() == 0) continue;
    CHECK((both.gradients[i] - want).norm().item<double>() <=
          1e-5 * want.norm().item<double>());  // fp32
  }
}

TEST_CASE("the weight of hidden states stays, or falls to zero after the last step") {
  DistillOptions options{.hidden_weight = 8};
  CHECK(options.hidden_weight_at(0, 4, 5.0) == 8);
  CHECK(options.hidden_weight_at(9, 4, 5.0) == 8);
  options.hidden_schedule = HiddenSchedule::kLinear;
  CHECK(options.hidden_weight_at(0, 4, 5.0) == 8);
  CHECK(options.hidden_weight_at(3, 4, 5.0) == 2);
  CHECK(options.hidden_weight_at(4, 4, 5.0) == 0);
  CHECK(options.hidden_weight_at(9, 4, 5.0) == 0);  // a run that goes on beyond its steps
  CHECK(options.hidden_weight_at(0, 0, 5.0) == 0);
  options.hidden_schedule = HiddenSchedule::kWhileFar;
  CHECK(options.hidden_weight_at(0, 4, std::nullopt) == 8);
  CHECK(options.hidden_weight_at(2, 4, 9.0) == 4);
  CHECK(options.hidden_weight_at(2, 4, 2.0) == 4);
  CHECK(options.hidden_weight_at(2, 4, 1.5) == 2);
  CHECK(options.hidden_weight_at(2, 4, 1.0) == 0);
  CHECK(options.hidden_weight_at(2, 4, 0.1) == 0);

  const TempFolder folder;
  test::write_tiny_llama(folder.path());
  TinyTraining bench(folder.path());
  const at::Tensor ids = some_ids(2, 9);
  for (const HiddenLoss hidden : {HiddenLoss::kMeanSquare, HiddenLoss::kRelative}) {
    DistillationStep step(bench.teacher.decoder, *bench.student,
                          {.hidden = hidden, .hidden_weight = 8}, Recompute::kFull);
    const double at_first = step.accumulate(ids, 2, bench.gradients).read_hidden();
    taken_gradients(bench.gradients);
    step.set_hidden_weight(2);
    CHECK(step.accumulate(ids, 2, bench.gradients).read_hidden() == Approx(at_first / 4));
    taken_gradients(bench.gradients);
  }
}

TEST_CASE("the KL divergence per token, from a step's weighted loss") {
  DistillOptions options{.kl_weight = 4};
  CHECK(options.kl_per_token(96, 8) == 3);
  options.normalization = Normalization::kPerToken;
  CHECK(options.kl_per_token(12, 8) == 3);
  options.kl_weight = 0;
  CHECK_FALSE(options.kl_per_token(0, 8).has_value());
}

TEST_CASE("after a step no group holds expanded weights") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path(), {.biases = true});
  TinyTraining bench(folder.path());
  for (const Recompute recompute : {Recompute::kFull, Recompute::kNone}) {
    DistillationStep step(bench.teacher.decoder, *bench.student, {}, recompute);
    step.accumulate(some_ids(2, 9), 2, bench.gradients);
    size_t layers = 0;
    for (const StudentGroup& group : bench.student->groups()) {
      for (const LittleBitLinear* layer : group.layers()) {
        CHECK_FALSE(layer->weights().w1.defined());
        CHECK_FALSE(layer->weights().w2.defined());
        ++layers;
      }
    }
    CHECK(layers == 14);
  }
}

TEST_CASE("every part of a step is told to the clock") {
  const TempFolder folder;
  // Blocks and a head whose times stand out from what is around them.
  test::write_tiny_llama(folder.path(), {.vocabulary = 2048, .hidden = 64, .intermediate = 256});
  TinyTraining bench(folder.path());
  for (const Recompute recompute : {Recompute::kFull, Recompute::kNone}) {
    DistillationStep step(bench.teacher.decoder, *bench.student, {}, recompute);
    const at::Tensor ids = some_ids(4, 32, 2048);
    PartClock clock(at::kCPU, static_cast<int>(std::size(kStepParts)));
    step.accumulate(ids, 4, bench.gradients);  // warm, and without a clock
    // The largest share of each part in five steps: a machine that is busy with other things may
    // hold up any one of them.
    std::vector<double> shares(std::size(kStepParts));
    for (int i = 0; i < 5; ++i) {
      step.set_clock(&clock);
      step.accumulate(ids, 4, bench.gradients);
      step.set_clock(nullptr);
      const std::vector<double> seconds = clock.take();
      const double total = std::accumulate(seconds.begin(), seconds.end(), 0.0);
      for (size_t k = 0; k < shares.size(); ++k) {
        shares[k] = std::max(shares[k], seconds[k] / total);
      }
    }
    const auto share = [&](StepPart part) { return shares[static_cast<size_t>(part)]; };
    CAPTURE(share(StepPart::kTeacher), share(StepPart::kStudent), share(StepPart::kLoss),
            share(StepPart::kBackward));
    // Blocks, head and backward take tenths each; a part that is not told of keeps the embedding's
    // thousandth or nothing.
    CHECK(share(StepPart::kTeacher) > 0.03);
    CHECK(share(StepPart::kStudent) > 0.03);
    CHECK(share(StepPart::kLoss) > 0.03);
    CHECK(share(StepPart::kBackward) > 0.1);
    CHECK(share(StepPart::kOptimizer) == 0);
    step.accumulate(ids, 4, bench.gradients);
    CHECK(clock.take() == std::vector<double>(shares.size()));
  }
}

TEST_CASE("KL without a gradient is the same number") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path());
  TinyTraining bench(folder.path());
  at::manual_seed(1);
  const Decoder &teacher = bench.teacher.decoder, &student = bench.student->decoder();
  const at::Tensor zt = at::randn({1500, 32}), zs = at::randn({1500, 32});
  const at::Tensor dz = at::ones({1500, 32});
  const auto kl = [&](const at::Tensor& z, const at::Tensor& gradient) {
    return kl_divergence(teacher, student, zt, z, 0.25, gradient).item<double>();
  };
  const double with = kl(zs, dz);
  CHECK(kl(zs, {}) == with);
  CHECK(kl(zt, {}) == Approx(0).margin(1e-6));
  // What stands in dz already stays: the gradient is added to it.
  const at::Tensor from_zero = at::zeros({1500, 32});
  kl(zs, from_zero);
  CHECK(at::allclose(dz - 1, from_zero, 1e-4, 1e-6));
  CHECK(head_rows(16384) == 1024);
  CHECK(head_rows(1 << 18) == 64);
}
