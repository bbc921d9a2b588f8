// What makes a step need less of a device's memory, on the CPU and on a device whose copies come
// late (tests/support/other_device.h): a teacher that is read block by block, block inputs that are
// narrow or in the host's memory.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distill/step.h"
#include "littlebit/distill/streamed_teacher.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/nn/tensor_io.h"
#include "support/counted_memory.h"
#include "support/other_device.h"
#include "support/paths.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using littlebit::test::TinyTraining;

namespace {

std::vector<std::filesystem::path> recorded_models() {
  std::vector<std::filesystem::path> folders;
  const auto golden = std::filesystem::path(test::kSourceDir) / "tests" / "golden" / "models";
  for (const auto& entry : std::filesystem::directory_iterator(golden)) {
    if (entry.is_directory() && HfFolder(entry.path()).has_tensor_files()) {
      folders.push_back(entry.path());
    }
  }
  return folders;
}

// The tensors of a tiny folder in another type.
void store_as(at::ScalarType type, const std::filesystem::path& folder) {
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  {
    const SafetensorsFile file(folder / "model.safetensors");
    for (const TensorView& view : file.tensors()) {
      tensors.emplace_back(view.name, map_tensor(view).to(type));
    }
  }
  SafetensorsWriter writer(folder / "model.safetensors");
  for (const auto& [name, tensor] : tensors) {
    writer.declare(name, dtype_of(type), tensor.sizes().vec());
  }
  for (const auto& [name, tensor] : tensors) write_tensor(writer, tensor);
  writer.commit();
}

Decoder streamed(const HfFolder& folder, at::ScalarType dtype = at::kFloat,
                 at::Device device = at::kCPU) {
  return load_streamed_decoder(folder, parse_model_spec(folder.config()), dtype, device);
}

at::Tensor some_ids(int64_t vocabulary, int64_t length = 7) {
  at::manual_seed(3);
  return at::randint(vocabulary, {2, length}, at::kLong);
}

// Copies beside the device's work come late while it lives.
struct Late {
  Late() { test::OtherStreams::late = true; }
  ~Late() { test::OtherStreams::late = false; }
};

}  // namespace

TEST_CASE("a streamed teacher gives what a whole one gives: every recorded model, every type") {
  const std::vector<std::filesystem::path> folders = recorded_models();
  REQUIRE(folders.size() > 4);
  const at::Device other = test::other_device();
  for (const std::filesystem::path& path : folders) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
      CAPTURE(path, dtype);
      const test::LoadedModel whole(path, dtype);
      const Decoder decoder = streamed(whole.folder, dtype);
      CHECK_FALSE(decoder.is_collective());
      const at::Tensor ids = some_ids(decoder.spec().vocab_size);
      const at::Tensor want = forward_full(whole.decoder, ids, false).logits;
      forward_full(decoder, ids.flip(0), false);  // buffers are used again
      CHECK(at::equal(forward_full(decoder, ids, false).logits, want));

      if (dtype != at::kFloat) continue;
      const Late late;
      const test::LoadedModel whole_there(path, dtype, other);
      const Decoder there = streamed(whole.folder, dtype, other);
      const at::Tensor want_there = forward_full(whole_there.decoder, ids, false).logits.cpu();
      for (int pass = 0; pass < 2; ++pass) {
        CHECK(at::equal(forward_full(there, ids, false).logits.cpu(), want_there));
      }
    }
  }
}

TEST_CASE("blocks of a streamed teacher may be asked for in any order") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.biases = true, .layers = 3});
  store_as(at::kBFloat16, temp.path());
  const c10::AutoGradMode no_grad(false);
  for (const at::Device device : {at::Device(at::kCPU), test::other_device()}) {
    for (const bool is_late : {false, true}) {
      test::OtherStreams::late = is_late;
      const test::LoadedModel whole(temp.path(), at::kFloat, device);
      const Decoder decoder = streamed(whole.folder, at::kFloat, device);
      const SequenceContext context = decoder.context(5);
      const at::Tensor x = at::randn({1, 5, 32}).to(device);
      for (const int64_t layer : {1, 0, 2, 0, 0, 1, 2, 1}) {
        CAPTURE(layer, is_late);
        CHECK(at::equal(decoder.block_forward(layer, x, context).cpu(),
                        whole.decoder.block_forward(layer, x, context).cpu()));
      }
      test::OtherStreams::late = false;
    }
  }
}

TEST_CASE("training with a streamed teacher: the same losses and gradients, and no host waits") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.biases = true, .layers = 5});
  store_as(at::kBFloat16, temp.path());
  for (const at::Device device : {at::Device(at::kCPU), test::other_device()}) {
    TinyTraining bench(temp.path(), {}, device);
    const Decoder teacher = streamed(bench.teacher.folder, at::kFloat, device);
    const Late late;
    DistillationStep whole(bench.teacher.decoder, *bench.student, {}, Recompute::kFull);
    DistillationStep step(teacher, *bench.student, {}, Recompute::kFull);
    const auto run = [&](DistillationStep& which, std::vector<at::Tensor>& gradients) {
      DistillationLoss loss;
      for (int i = 0; i < 3; ++i) {
        const at::Tensor ids = some_ids(48).add(i).to(device);
        loss += which.accumulate(ids.clamp_max(47), 6, bench.gradients);
      }
      for (GroupGradients& group : bench.gradients) {
        if (group.is_empty()) continue;
        group.finish();
        gradients.push_back(group.latents().cpu());
        group.clear();
      }
      return loss;
    };
    std::vector<at::Tensor> want, got;
    const DistillationLoss loss = run(whole, want), again = run(step, got);
    CHECK(again.read_kl() == loss.read_kl());
    CHECK(again.read_hidden() == loss.read_hidden());
    REQUIRE(got.size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) CHECK(at::equal(got[i], want[i]));
    const at::Tensor ids = some_ids(48).to(device);
    test::host_waits = 0;
    step.accumulate(ids, 2, bench.gradients);
    CHECK(test::host_waits == 0);
  }
}

TEST_CASE("a streamed teacher holds one converted block on the CPU, two on a device") {
  constexpr int64_t kLayers = 12, kHidden = 64, kInner = 576;
  const TempFolder temp;
  test::write_tiny_llama(
      temp.path(), {.hidden = kHidden, .intermediate = kInner, .layers = kLayers, .kv_heads = 4});
  store_as(at::kHalf, temp.path());  // bf16 need not be converted everywhere
  const HfFolder folder = test::open_folder(temp.path());
  const int64_t block = 4 * (4 * kHidden * kHidden + 3 * kHidden * kInner);
  // Embedding, head, norms, states of a few tokens, and what attention's threads work in.
  const int64_t rest = block / 2 + (160 << 10);
  const at::Tensor ids = some_ids(48, 4);

  test::CountingAllocator& counter = test::CountingAllocator::instance();
  int64_t before = counter.alive();
  counter.reset_peak();
  {
    const Decoder decoder = streamed(folder);
    forward_full(decoder, ids, false);
    CHECK(counter.peak() - before >= block);
    CHECK(counter.peak() - before < block + rest);
  }
  before = counter.alive();
  counter.reset_peak();
  {  // what it is instead of
    const test::LoadedModel whole(temp.path());
    CHECK(counter.alive() - before > kLayers * block);
  }
  {  // nothing to convert: mapped for good
    const TempFolder narrow;
    std::filesystem::copy(temp.path(), narrow.path(),
                          std::filesystem::copy_options::recursive |
                              std::filesystem::copy_options::overwrite_existing);
    store_as(at::kBFloat16, narrow.path());
    const HfFolder stored = test::open_folder(narrow.path());
    before = counter.alive();
    counter.reset_peak();
    const Decoder decoder = streamed(stored, at::kBFloat16);
    forward_full(decoder, ids, false);
    CHECK(counter.peak() - before < rest);
  }

  test::OtherMemory& memory = test::OtherMemory::get();
  before = memory.alive();
  memory.reset_peak();
  const Late late;
  const Decoder decoder = streamed(folder, at::kFloat, test::other_device());
  forward_full(decoder, ids, false);
  CHECK(memory.peak() - before >= 2 * block);
  CHECK(memory.peak() - before < 2 * block + rest);
}

TEST_CASE("a streamed teacher's numbers are looked at before it runs") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path());
  std::string bytes = read_file(temp.path() / "model.safetensors");
  {
    const SafetensorsFile file(temp.path() / "model.safetensors");
    const TensorView* view = file.find("model.layers.1.mlp.up_proj.weight");
    REQUIRE(view != nullptr);
    const std::string text(reinterpret_cast<const char*>(view->data.data()), view->data.size());
    const size_t place = bytes.find(text);
    REQUIRE(place != std::string::npos);
    bytes.replace(place + text.size() - 4, 4, std::string("\x00\x00\xc0\x7f", 4));
  }
  write_file(temp.path() / "model.safetensors", bytes);
  const HfFolder damaged = test::open_folder(temp.path());
  for (const at::Device device : {at::Device(at::kCPU), test::other_device()}) {
    CHECK_THROWS_WITH(streamed(damaged, at::kFloat, device),
                      Contains("model.layers.1.mlp.up_proj.weight") && Contains("NaN"));
  }
}

namespace {

struct Dropped : GradientSink {
  void add(size_t, const std::vector<at::Tensor>&) override {}
};

// Stops a step in the middle of its backward pass.
struct Broken : GradientSink {
  void add(size_t group, const std::vector<at::Tensor>&) override {
    if (group == 3) throw std::runtime_error("stopped");
  }
};

struct Result {
  double kl, hidden;
  std::vector<at::Tensor> gradients;
};

Result run_step(TinyTraining& bench, DistillationStep& step, at::Device device) {
  DistillationLoss loss;
  for (const int64_t length : {9, 4, 9}) {
    loss += step.accumulate(some_ids(48, length).to(device), 6, bench.gradients);
  }
  Result result{loss.read_kl(), loss.read_hidden(), {}};
  for (GroupGradients& group : bench.gradients) {
    if (group.is_empty()) continue;
    group.finish();
    result.gradients.push_back(group.latents().cpu().clone());
    result.gradients.push_back(group.vectors().cpu().clone());
    group.clear();
  }
  return result;
}

}  // namespace

TEST_CASE("block inputs in the host's memory: the same numbers, and no host waits") {
  const TempFolder temp;
  const at::Device other = test::other_device();
  const Late late;
  for (const int64_t layers : {1, 2, 3, 7}) {
    const std::filesystem::path folder = temp / std::to_string(layers);
    test::write_tiny_llama(folder, {.biases = true, .layers = layers});
    TinyTraining bench(folder, {}, other);
    for (const BlockInputs type : {BlockInputs::kFull, BlockInputs::kBf16}) {
      for (const Recompute recompute : {Recompute::kFull, Recompute::kNone}) {
        CAPTURE(layers, type == BlockInputs::kBf16, recompute == Recompute::kNone);
        DistillationStep there(bench.teacher.decoder, *bench.student, {}, recompute,
                               {type, InputsPlace::kDevice});
        DistillationStep away(bench.teacher.decoder, *bench.student, {}, recompute,
                              {type, InputsPlace::kCpu});
        const Result want = run_step(bench, there, other), got = run_step(bench, away, other);
        CHECK(got.kl == want.kl);
        CHECK(got.hidden == want.hidden);
        for (size_t i = 0; i < want.gradients.size(); ++i) {
          CHECK(at::equal(got.gradients[i], want.gradients[i]));
        }
        const at::Tensor ids = some_ids(48, 9).to(other);
        test::host_waits = 0;
        away.accumulate(ids, 2, bench.gradients);
        CHECK(test::host_waits == 0);
        for (GroupGradients& group : bench.gradients) group.clear();
      }
    }
  }
}

TEST_CASE("a step that broke off leaves nothing to the next one") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.layers = 6});
  const Late late;
  for (const at::Device device : {at::Device(at::kCPU), test::other_device()}) {
    TinyTraining bench(temp.path(), {}, device);
    DistillationStep step(bench.teacher.decoder, *bench.student, {}, Recompute::kFull,
                          {BlockInputs::kFull, InputsPlace::kCpu});
    const Result want = run_step(bench, step, device);
    Broken broken;
    CHECK_THROWS_WITH(step.accumulate(some_ids(48).to(device), 2, broken), "stopped");
    const Result got = run_step(bench, step, device);
    CHECK(got.kl == want.kl);
    for (size_t i = 0; i < want.gradients.size(); ++i) {
      CHECK(at::equal(got.gradients[i], want.gradients[i]));
    }
  }
}

TEST_CASE("a device holds no block inputs but those at hand, or half of their bytes") {
  const at::Device other = test::other_device();
  test::OtherMemory& memory = test::OtherMemory::get();
  const at::Tensor ids = some_ids(48, 64).to(other);
  constexpr int64_t kState = 2 * 64 * 32 * 4;
  // What a step of 32 blocks takes more than one of 24, in states of fp32: of fewer blocks logits
  // may be the worst.
  const auto growth = [&](const KeptInputs& inputs) {
    int64_t peaks[2];
    for (int i = 0; i < 2; ++i) {
      const TempFolder temp;
      test::write_tiny_llama(temp.path(), {.layers = i == 0 ? 24 : 32});
      TinyTraining bench(temp.path(), {}, other);
      DistillationStep step(bench.teacher.decoder, *bench.student, {}, Recompute::kFull, inputs);
      Dropped dropped;
      step.accumulate(ids, 2, dropped);
      // Autograd's own thread for the device may let go of a tensor late, even after the step: the
      // least of some runs, and of what is alive between them.
      constexpr int kRuns = 12;
      int64_t before = memory.alive(), peak = 0;
      for (int run = 0; run < kRuns; ++run) {
        memory.reset_peak();
        step.accumulate(ids, 2, dropped);
        peak = run == 0 ? memory.peak() : std::min(peak, memory.peak());
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        before = std::min(before, memory.alive());
      }
      peaks[i] = peak - before;
    }
    return static_cast<double>(peaks[1] - peaks[0]) / kState;
  };
  // Inputs and differences of eight blocks.
  CHECK(growth({}) == Approx(16).margin(0.01));
  CHECK(growth({.type = BlockInputs::kBf16}) == Approx(8).margin(0.01));
  CHECK(growth({.place = InputsPlace::kCpu}) == Approx(0).margin(0.01));
  CHECK(growth({BlockInputs::kBf16, InputsPlace::kCpu}) == Approx(0).margin(0.01));
}

TEST_CASE("block inputs in bf16 change the loss by nothing, gradients by their rounding") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.biases = true, .layers = 4});
  TinyTraining bench(temp.path());
  DistillationStep full(bench.teacher.decoder, *bench.student, {}, Recompute::kFull);
  DistillationStep narrow(bench.teacher.decoder, *bench.student, {}, Recompute::kFull,
                          {.type = BlockInputs::kBf16});
  const Result want = run_step(bench, full, at::kCPU), got = run_step(bench, narrow, at::kCPU);
  CHECK(got.kl == want.kl);
  CHECK(got.hidden == want.hidden);
  double worst = 0;
  for (size_t i = 0; i < want.gradients.size(); ++i) {
    const double size = want.gradients[i].norm().item<double>();
    if (size == 0) continue;
    const double gap = (got.gradients[i] - want.gradients[i]).norm().item<double>() / size;
    CHECK(gap < 1e-2);  // 2^-9 for each number that is rounded
    worst = std::max(worst, gap);
  }
  CHECK(worst > 1e-5);
}
