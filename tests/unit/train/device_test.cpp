// Everything that has tensors runs on a device that is not the CPU: the self-test, training from
// start factors to checkpoint and exports, scores. A GPU is such a device; here it is
// tests/support/other_device.h, whose memory cannot be read by accident.
#include "littlebit/device/device.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/checkpoint/save.h"
#include "littlebit/core/read_file.h"
#include "littlebit/device/cuda.h"
#include "littlebit/distill/blockwise.h"
#include "littlebit/distill/step.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/perplexity.h"
#include "littlebit/export/dense.h"
#include "littlebit/export/packed.h"
#include "littlebit/ops/operation_case.h"
#include "littlebit/ops/update_signs.h"
#include "littlebit/optim/gradient_reducer.h"
#include "littlebit/train/self_test.h"
#include "support/other_device.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using Catch::Matchers::Contains;

namespace {

// A tiny student that trains.
struct Run : test::TinyTraining {
  Run(const std::filesystem::path& folder, at::Device device, const OptimOptions& optim = {})
      : TinyTraining(folder, {.bits_per_weight = 2}, device, optim) {}

  // The hidden and KL losses and the gradient norm of each step.
  std::vector<double> train(int steps, Recompute recompute) {
    DistillationStep step(teacher.decoder, *student, {}, recompute);
    std::vector<double> seen;
    at::manual_seed(5);
    for (int i = 1; i <= steps; ++i) {
      DistillationLoss loss;
      for (int part = 0; part < 2; ++part) {
        loss += step.accumulate(at::randint(48, {2, 12}, at::kLong), 4, gradients);
      }
      const StepStatistics statistics = optimizer->step(gradients, i, 1e-2);
      seen.insert(seen.end(),
                  {loss.read_kl(), loss.read_hidden(), statistics.read_gradient_norm()});
    }
    return seen;
  }
};

// Attention takes another kernel there, whose sums differ in their last bits.
void check_close(const std::vector<double>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(want[i]).epsilon(1e-4));
}

}  // namespace

TEST_CASE("self-test: passes in fp32 on the CPU and on another device, fails where numbers differ",
          "[device]") {
  std::set<std::string> operations;
  for (const OperationCase& each : operation_cases()) operations.insert(each.operation);
  CHECK(operations.size() >= 7);
  for (const at::Device device : {at::Device(at::kCPU), test::other_device()}) {
    const std::vector<SelfTestRow> rows = self_test(device, at::kFloat, 42);
    CHECK(rows.size() == 11 + operations.size());
    for (const SelfTestRow& row : rows) {
      INFO(device << ": " << row.check << " " << row.difference << " of " << row.tolerance);
      CHECK(row.ok());
    }
  }
  // bf16 products lie well outside of what fp32 is allowed: the comparison sees such a difference.
  int coarse = 0;
  for (const SelfTestRow& row : self_test(at::Device(at::kCPU), at::kBFloat16, 42)) {
    INFO(row.check << " " << row.difference << " of " << row.tolerance);
    CHECK(row.ok());
    coarse += row.difference > 2e-5;
  }
  CHECK(coarse >= 6);
  CHECK_FALSE(SelfTestRow{"x", std::nan(""), 1}.ok());
}

TEST_CASE("a step makes no host wait, however many micro-batches and groups it has", "[device]") {
  const TempFolder temp;
  const at::Device other = test::other_device();
  // The counter counts.
  const at::Tensor there = at::ones({4}).to(other);
  test::host_waits = 0;
  there.sum().item<float>();
  there.cpu();
  at::ones({4}).to(other);
  there.add(1).mul_(2);
  CHECK(test::host_waits == 3);

  for (const int64_t layers : {2, 5}) {
    const std::filesystem::path folder = temp / std::to_string(layers);
    test::write_tiny_llama(folder, {.biases = true, .layers = layers});
    for (const Recompute recompute : {Recompute::kFull, Recompute::kNone}) {
      for (const GradientReduce when : {GradientReduce::kStep, GradientReduce::kMicrobatch}) {
        for (const int64_t micro_batches : {1, 4}) {
          Run run(folder, other);
          DistillationStep step(run.teacher.decoder, *run.student, {}, recompute);
          GradientReducer reducer(*run.optimizer, {.when = when}, micro_batches);
          const at::Tensor ids = at::randint(48, {1, 12}, at::kLong).to(other);
          reducer.begin_micro_batch();
          step.accumulate(ids, 1, reducer);  // makes what depends on the length
          reducer.drop();
          test::host_waits = 0;
          DistillationLoss loss;
          for (int64_t i = 0; i < micro_batches; ++i) {
            reducer.begin_micro_batch();
            loss += step.accumulate(ids, micro_batches, reducer);
          }
          reducer.finish();
          const at::Tensor losses = at::stack({loss.kl, loss.hidden});
          const StepStatistics statistics = run.optimizer->step(1, {1e-3, 1e-3, 1e-3}, losses);
          CAPTURE(layers, micro_batches, recompute == Recompute::kNone,
                  when == GradientReduce::kMicrobatch);
          CHECK(test::host_waits == 0);
          CHECK(std::isfinite(statistics.read_gradient_norm()));
          CHECK(test::host_waits == 1);
        }
      }
    }
  }
}

TEST_CASE("block-wise training on another device, its state kept on the host", "[device]") {
  const TempFolder folder;
  test::write_tiny_llama(folder.path(), {.biases = true});
  // Losses of some steps of each block, and the latents.
  const auto train = [&](at::Device device, bool is_kept) {
    Run run(folder.path(), device);
    const auto on_host = [](int64_t numel, at::ScalarType dtype) {
      return at::zeros({numel}, dtype);
    };
    Optimizer optimizer(*run.student, OptimOptions{}, Surrogate::kSmoothSign, solo(),
                        is_kept ? StateKeeper(on_host) : StateKeeper());
    CHECK(optimizer.is_kept() == is_kept);
    LatentSink sink(*run.student, optimizer.states());
    factorize_model(sink, run.teacher.folder, run.plans, run.quant, 1, {});
    const at::Tensor states = at::zeros({4, 12, 32});
    BlockwiseStep step(run.teacher.decoder, *run.student, states, states.clone());
    at::manual_seed(5);
    const at::Tensor ids = at::randint(48, {4, 12}, at::kLong);
    std::vector<double> seen;
    for (int64_t layer = 0; layer < 2; ++layer) {
      step.prepare(
          layer, 2, [&](int64_t first, int64_t n) { return ids.narrow(0, first, n).to(device); },
          [] { return false; });
      GroupState& state = optimizer.states()[layer + 1];
      CHECK(state.latents().is_cpu() == (is_kept || device.is_cpu()));
      state.load();
      CHECK(state.latents().device() == device);
      GradientSums sums(run.gradients);
      for (int64_t k = 1; k <= 3; ++k) {
        const DistillationLoss loss = step.accumulate(0, 4, 4, sums);
        optimizer.reduce(layer + 1, run.gradients[layer + 1]);
        optimizer.step(k, {1e-2, 1e-2, 1e-2});
        seen.push_back(loss.read_hidden());
      }
      state.unload();
    }
    for (GroupState& state : optimizer.states()) {
      state.load_for_good();
      CHECK(state.latents().device() == device);
      seen.push_back(state.latents().abs().sum().item<double>());
      seen.push_back(state.moments().exp_avg_sq.abs().sum().item<double>());
    }
    return seen;
  };
  const std::vector<double> want = train(at::kCPU, false);
  CHECK(want[2] < want[0]);
  CHECK(train(at::kCPU, true) == want);
  check_close(train(test::other_device(), false), want);
  check_close(train(test::other_device(), true), want);
}

TEST_CASE("state on the host: the steps of state on the device, for one wait at their end",
          "[device]") {
  const TempFolder temp;
  const at::Device other = test::other_device();
  for (const int64_t layers : {2, 4}) {
    test::write_tiny_llama(temp / std::to_string(layers), {.biases = true, .layers = layers});
  }
  const auto train = [&](int64_t layers, const OptimOptions& optim, GradientReduce when,
                         int64_t micro_batches, bool drops, std::vector<double>& flips) {
    Run run(temp / std::to_string(layers), other, optim);
    DistillationStep step(run.teacher.decoder, *run.student, {}, Recompute::kFull);
    GradientReducer reducer(*run.optimizer, {.when = when}, micro_batches);
    const bool is_apart = optim.state_device == StateDevice::kCpu;
    CHECK(run.latents()[1].is_cpu() == is_apart);
    std::vector<double> seen;
    at::manual_seed(3);
    for (int64_t k = 1; k <= 3; ++k) {
      const at::Tensor ids = at::randint(48, {2, 12}, at::kLong).to(other);
      const auto accumulate = [&] {
        DistillationLoss loss;
        for (int64_t i = 0; i < micro_batches; ++i) {
          reducer.begin_micro_batch();
          loss += step.accumulate(ids, 2 * micro_batches, reducer);
        }
        return loss;
      };
      if (drops) {  // gradients that are not taken leave nothing
        accumulate();
        reducer.drop();
      }
      const DistillationLoss before = accumulate();  // makes what depends on the length
      reducer.drop();
      test::host_waits = 0;
      const DistillationLoss loss = accumulate();
      reducer.finish();
      const at::Tensor losses = at::stack({loss.kl, loss.hidden});
      const StepStatistics statistics = run.optimizer->step(k, {1e-2, 1e-2, 1e-2}, losses);
      const int64_t waits = test::host_waits;
      CHECK(waits == (is_apart ? 1 : 0));
      const at::Tensor sums = statistics.sums.cpu();
      flips.push_back(statistics.read_sign_flip_fraction());
      // What the host has is read without another wait.
      CHECK(test::host_waits == waits + (is_apart ? 0 : 2));
      seen.insert(seen.end(),
                  {sums[0].item<double>(), sums[1].item<double>(), sums[2].item<double>()});
      CHECK(before.read_kl() == Approx(loss.read_kl()));
    }
    for (const GroupState& state : run.optimizer->states()) {
      const at::Tensor bits = at::empty({state.latents().numel() / 32}, at::kInt);
      if (bits.numel() == 0) continue;
      update_signs(state.latents().cpu(), bits);
      CHECK(at::equal(state.group().bits().cpu(), bits));
    }
    return seen;
  };
  for (const int64_t layers : {2, 4}) {
    for (const GradientReduce when : {GradientReduce::kStep, GradientReduce::kMicrobatch}) {
      for (const int64_t micro_batches : {1, 3}) {
        for (const MomentType moments : {MomentType::kFp32, MomentType::kInt8}) {
          // Of more blocks one way is enough: waits do not depend on their number.
          if (layers > 2 && (micro_batches > 1 || moments == MomentType::kInt8)) continue;
          CAPTURE(layers, micro_batches, static_cast<int>(when), static_cast<int>(moments));
          OptimOptions optim{.moments = moments};
          std::vector<double> here, apart;
          const auto want = train(layers, optim, when, micro_batches, /*drops=*/false, here);
          optim.state_device = StateDevice::kCpu;
          check_close(train(layers, optim, when, micro_batches, /*drops=*/true, apart), want);
          // Where codes were rounded by another last bit a few signs may differ.
          for (size_t k = 0; k < here.size(); ++k) {
            CHECK(here[k] > 0.001);
            CHECK(apart[k] == Approx(here[k]).epsilon(0.02));
          }
        }
      }
    }
  }
  // A state that was kept in one place goes on in the other.
  Run apart(temp / "2", other, {.state_device = StateDevice::kCpu}), there(temp / "2", other);
  for (Run* run : {&apart, &there}) run->train(2, Recompute::kFull);
  const auto saved = save_checkpoint(temp / "checkpoints", *apart.optimizer, {2, 9}, {});
  load_checkpoint(read_checkpoint(saved), *there.optimizer);
  for (size_t g = 0; g < apart.latents().size(); ++g) {
    CHECK(at::equal(apart.latents()[g], there.latents()[g].cpu()));
    CHECK(at::equal(apart.student->groups()[g].bits().cpu(),
                    there.student->groups()[g].bits().cpu()));
  }
  check_close(apart.train(2, Recompute::kFull), there.train(2, Recompute::kFull));
}

TEST_CASE("a run on another device: training, checkpoint, exports, scores", "[device]") {
  const TempFolder temp;
  const at::Device cpu(at::kCPU), other = test::other_device();
  test::write_tiny_llama(temp / "teacher", {.biases = true});

  Run here(temp / "teacher", cpu), there(temp / "teacher", other);
  for (size_t g = 0; g < here.latents().size(); ++g) {
    CHECK(at::equal(here.latents()[g], there.latents()[g].cpu()));
    CHECK(at::equal(here.student->groups()[g].bits(), there.student->groups()[g].bits().cpu()));
  }
  check_close(there.train(2, Recompute::kFull), here.train(2, Recompute::kFull));
  check_close(there.train(1, Recompute::kNone), here.train(1, Recompute::kNone));

  // The state goes through the CPU and back: nothing is lost, and the signs are those of the
  // latents.
  const std::filesystem::path saved =
      save_checkpoint(temp / "checkpoints", *there.optimizer, {3, 9}, {});
  Run again(temp / "teacher", other), at_home(temp / "teacher", cpu);
  load_checkpoint(read_checkpoint(saved), *again.optimizer);
  load_checkpoint(read_checkpoint(saved), *at_home.optimizer);
  for (size_t g = 0; g < there.latents().size(); ++g) {
    const at::Tensor latents = there.latents()[g].cpu();
    const at::Tensor bits = there.student->groups()[g].bits().cpu();
    const at::Tensor vectors = there.student->groups()[g].vectors().cpu();
    for (Run* run : {&again, &at_home}) {
      CHECK(at::equal(run->latents()[g].cpu(), latents));
      CHECK(at::equal(run->student->groups()[g].bits().cpu(), bits));
      CHECK(at::equal(run->student->groups()[g].vectors().cpu(), vectors));
    }
  }

  // The same folders come out on either device.
  for (Run* run : {&again, &at_home}) {
    const std::string name = run == &again ? "there" : "here";
    export_packed(temp / ("packed-" + name), *run->student, run->plans, run->quant,
                  run->teacher.folder);
    CHECK(verify_packed(temp / ("packed-" + name), *run->student, run->plans) > 50);
    export_dense(temp / ("dense-" + name), *run->student, at::kFloat, run->teacher.folder);
  }
  const auto content = [&](const std::string& folder) {
    return read_file(temp / folder / "model.safetensors");
  };
  CHECK(content("packed-there") == content("packed-here"));
  CHECK(content("dense-there") == content("dense-here"));

  at::manual_seed(3);
  const at::Tensor ids = at::randint(48, {64}, at::kInt);
  const std::span<const int32_t> text(ids.const_data_ptr<int32_t>(), 64);
  for (const char* folder : {"packed-there", "dense-there", "teacher"}) {
    const ChunkOptions how{.sequence_length = 16};
    const EvalModel a(temp / folder, at::kFloat, cpu), b(temp / folder, at::kFloat, other);
    CHECK(chunk_perplexity(b.decoder(), text, how, {}).metric("perplexity") ==
          Approx(chunk_perplexity(a.decoder(), text, how, {}).metric("perplexity")).epsilon(1e-5));
  }
}

TEST_CASE("devices: auto finds one, a GPU that is not there is refused by name", "[device]") {
  CHECK(open_device(DeviceKind::kCpu, "train.device").is_cpu());
  const at::Device found = open_device(DeviceKind::kAuto, "train.device");
  if (open_cuda().kernels != nullptr) {
    CHECK(found.is_cuda());
    return;
  }
  CHECK(found.is_cpu());
  try {
    open_device(DeviceKind::kCuda, "eval.device");
    FAIL("a GPU where there is none");
  } catch (const UsageError& error) {
    CHECK_THAT(error.what(), Contains("eval.device is cuda, but "));
    CHECK(!error.hint().empty());
  }
}
