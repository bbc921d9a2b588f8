// A block's inputs are what the finished blocks of the student made, its targets what the teacher's
// block makes of the teacher's; the loss is relative to those.
#include "littlebit/distill/blockwise.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <catch2/catch.hpp>

#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using littlebit::test::TinyTraining;

namespace {

constexpr int64_t kSequences = 6, kLength = 10, kLayers = 3;

struct Bench {
  TempFolder folder;
  std::unique_ptr<TinyTraining> training;
  at::Tensor ids;
  Bench() {
    test::write_tiny_llama(folder.path(), {.layers = kLayers});
    training = std::make_unique<TinyTraining>(folder.path());
    at::manual_seed(3);
    ids = at::randint(48, {kSequences, kLength}, at::TensorOptions().dtype(at::kLong));
  }
  const Decoder& teacher() const { return training->teacher.decoder; }
  Decoder& student() const { return training->student->decoder(); }

  BlockwiseStep make() const {
    const at::Tensor states = at::empty({kSequences, kLength, teacher().spec().hidden_size});
    return {teacher(), *training->student, states, states.clone()};
  }
  bool prepare(BlockwiseStep& step, int64_t layer, int64_t at_once) const {
    return step.prepare(
        layer, at_once, [&](int64_t first, int64_t n) { return ids.narrow(0, first, n); },
        [] { return false; });
  }
  // Of both models behind so many blocks.
  at::Tensor teacher_state(int64_t blocks) const {
    return state(teacher(), blocks, [](int64_t, const auto& run) { run(); });
  }
  at::Tensor student_state(int64_t blocks) const {
    return state(student(), blocks, [&](int64_t layer, const auto& run) {
      StudentGroup& group = training->student->groups()[layer + 1];
      group.materialize(false);
      run();
      group.release();
    });
  }
  template <class Around>
  at::Tensor state(const Decoder& model, int64_t blocks, const Around& around) const {
    c10::NoGradGuard no_grad;
    at::Tensor x = model.embedding_forward(ids);
    const SequenceContext context = model.context(kLength);
    for (int64_t layer = 0; layer < blocks; ++layer) {
      around(layer, [&] { x = model.block_forward(layer, x, context); });
    }
    return x;
  }
  double loss(BlockwiseStep& step, int64_t first, int64_t count) const {
    GradientSums sums(training->gradients);
    const double loss = step.accumulate(first, count, kSequences, sums).read_hidden();
    for (GroupGradients& group : training->gradients) group.clear();
    return loss;
  }
};

}  // namespace

TEST_CASE("block-wise: the loss is the relative error of a block behind the student's own blocks") {
  const Bench bench;
  BlockwiseStep step = bench.make();
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    INFO("block " << layer);
    REQUIRE(bench.prepare(step, layer, 4));
    CHECK(step.is_prepared(layer));
    const at::Tensor want = bench.teacher_state(layer + 1), got = bench.student_state(layer + 1);
    const at::Tensor error = (got - want).square().mean(-1) / want.square().mean(-1);
    CHECK(bench.loss(step, 0, kSequences) == Approx(error.mean().item<double>()).epsilon(1e-5));
    // Parts of a batch add up.
    CHECK(bench.loss(step, 0, 2) + bench.loss(step, 2, 4) ==
          Approx(error.mean().item<double>()).epsilon(1e-5));
    // The same states as by a walk from the ids.
    BlockwiseStep other = bench.make();
    REQUIRE(bench.prepare(other, layer, 4));
    CHECK(bench.loss(other, 1, 3) == bench.loss(step, 1, 3));
  }
}

TEST_CASE("block-wise: gradients are of the block that is prepared, and are the loss's") {
  const Bench bench;
  TinyTraining& training = *bench.training;
  BlockwiseStep step = bench.make();
  constexpr int64_t kLayer = 1;
  REQUIRE(bench.prepare(step, kLayer, 2));
  GradientSums sums(training.gradients);
  step.accumulate(0, kSequences, kSequences, sums);
  for (size_t group = 0; group < training.gradients.size(); ++group) {
    CHECK(training.gradients[group].is_empty() == (group != kLayer + 1));
  }
  GroupGradients& gradients = training.gradients[kLayer + 1];
  gradients.finish();
  // Along the gradient of the scales the loss changes as it says.
  const at::Tensor slope = gradients.vectors().clone();
  gradients.clear();
  const at::Tensor vectors = training.student->groups()[kLayer + 1].vectors(),
                   before = vectors.clone();
  const double size = 1e-3 / slope.norm().item<double>();
  const auto loss_at = [&](double along) {
    c10::NoGradGuard no_grad;
    vectors.copy_(before + along * slope);
    return bench.loss(step, 0, kSequences);
  };
  const double measured = (loss_at(size) - loss_at(-size)) / (2 * size);
  CHECK(measured == Approx(slope.square().sum().item<double>()).epsilon(0.02));
}

TEST_CASE("block-wise: told to stop while it prepares, it begins anew the next time") {
  const Bench bench;
  const at::Tensor states = at::zeros({2, kLength, bench.teacher().spec().hidden_size});
  BlockwiseStep step(bench.teacher(), *bench.training->student, states, states.clone());
  const auto stops = [] { return false; };
  // Told to stop on the way: nothing is prepared, and the next time begins anew.
  int64_t asked = 0;
  const auto ids = [&](int64_t first, int64_t n) { return bench.ids.narrow(0, first, n); };
  CHECK_FALSE(step.prepare(2, 1, ids, [&] { return ++asked == 4; }));
  CHECK_FALSE(step.is_prepared(2));
  REQUIRE(step.prepare(2, 1, ids, stops));
  const double once = bench.loss(step, 0, 2);
  CHECK(std::isfinite(once));
  BlockwiseStep fresh(bench.teacher(), *bench.training->student, states.clone(), states.clone());
  REQUIRE(fresh.prepare(2, 1, ids, stops));
  CHECK(bench.loss(fresh, 0, 2) == once);
}
