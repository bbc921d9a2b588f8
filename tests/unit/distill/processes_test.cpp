// A step between processes, by every way that teacher and gradients may take, against one process
// that holds everything.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distill/sharded_teacher.h"
#include "littlebit/distill/step.h"
#include "littlebit/distributed/planned_communicator.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/load.h"
#include "littlebit/optim/gradient_reducer.h"
#include "support/counted_memory.h"
#include "support/loaded_model.h"
#include "support/paths.h"
#include "support/thread_processes.h"
#include "support/tiny_model.h"

namespace littlebit {
namespace {

using test::Started;
using test::ThreadProcesses;

constexpr int64_t kSequences = 48;  // of a step; 1, 2, 3 and 4 processes, 4 micro-batches each

struct Ways {
  int64_t world = 1;
  bool sharded = false;
  GradientReduce when = GradientReduce::kStep;
  int64_t micro_batches = 1;
  Recompute recompute = Recompute::kFull;
  FloatKind travel = FloatKind::kFp32;
  Started started = Started::kAtOnce;

  std::string text() const {
    return std::to_string(world) + " processes, " + std::to_string(micro_batches) +
           " micro-batches" + (sharded ? ", sharded teacher" : "") +
           (when == GradientReduce::kMicrobatch ? ", reduced early" : "") +
           (started == Started::kLate ? ", started" : "");
  }
};

// What a run came to, the same for any number of processes.
struct Outcome {
  std::vector<double> losses;
  std::vector<at::Tensor> bits, state;  // after the last step; bits of each step
  std::vector<std::pair<std::string, at::Tensor>> gradients;  // by name, of the first step
};

// Numbers that depend on the seed alone: threads share ATen's own generator.
class Random {
 public:
  explicit Random(uint64_t seed) : generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {}
  at::Tensor normal(at::IntArrayRef shape, at::ScalarType dtype) {
    return at::randn(shape, generator_, at::TensorOptions().dtype(at::kDouble)).to(dtype);
  }
  at::Tensor ids(int64_t vocabulary) {
    return at::randint(0, vocabulary, {kSequences, 6}, generator_,
                       at::TensorOptions().dtype(at::kLong));
  }

 private:
  at::Generator generator_;
};

Outcome train_in(Communicator& processes, const HfFolder& folder, const Ways& ways,
                 at::ScalarType dtype, int steps, double rate) {
  const c10::AutoGradMode no_grad(false);
  const ModelSpec spec = parse_model_spec(folder.config());
  const Decoder teacher = ways.sharded
                              ? load_sharded_decoder(folder, spec, dtype, at::kCPU, processes)
                              : load_decoder(folder, spec, dtype, at::kCPU);
  Decoder open = open_decoder(teacher);
  std::vector<LayerPlan> plans;
  open.visit_linears([&](LinearSlot& slot) {
    plans.push_back(
        {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = 8, .paths = 2});
  });
  Student student(std::move(open), plans);
  // No clipping: after the first step exp_avg is a tenth of the gradient.
  Optimizer optimizer(student, OptimOptions{.weight_decay = 0.1, .max_grad_norm = 0},
                      Surrogate::kSmoothSign, processes);
  Random start(5);
  for (GroupState& state : optimizer.states()) {
    const GroupLayout& layout = state.group().layout();
    const at::ScalarType wide = state.latents().scalar_type();
    at::Tensor vectors = state.group().vectors();
    vectors.copy_(start.normal(vectors.sizes(), wide) * 0.3);
    at::Tensor all = at::zeros({layout.num_latents}, state.latents().options());
    for (const Segment& segment : layout.latents) {
      segment.view(all).copy_(start.normal(segment.shape, wide) * 0.01);
    }
    state.latents().copy_(all.narrow(0, state.slice().begin, state.slice().size()));
  }
  optimizer.refresh_bits();

  Outcome outcome;
  const auto gathered = [&](const GroupState& state, const at::Tensor& mine) {
    at::Tensor all = at::zeros({state.group().layout().num_latents}, mine.options());
    all.narrow(0, state.slice().begin, state.slice().size()).copy_(mine);
    processes.all_gather(all, state.slice().begin, state.slice().end);
    return all;
  };
  DistillationStep step(teacher, student, {}, ways.recompute);
  GradientReducer reducer(optimizer, {.when = ways.when, .dtype = ways.travel}, ways.micro_batches);
  const int64_t share = kSequences / processes.world(), each = share / ways.micro_batches;
  for (int k = 1; k <= steps; ++k) {
    const at::Tensor ids = Random(100 + static_cast<uint64_t>(k)).ids(spec.vocab_size);
    DistillationLoss loss;
    for (int64_t i = 0; i < ways.micro_batches; ++i) {
      reducer.begin_micro_batch();
      loss += step.accumulate(ids.narrow(0, processes.rank() * share + i * each, each), kSequences,
                              reducer);
    }
    reducer.finish();
    processes.all_reduce_sum(loss.kl);
    processes.all_reduce_sum(loss.hidden);
    optimizer.step(k, {.latents = rate, .scales = rate, .norms = rate}, loss.total());
    outcome.losses.push_back(loss.read_kl() + loss.read_hidden());
    for (const StudentGroup& group : student.groups()) outcome.bits.push_back(group.bits().clone());
    if (k > 1) continue;
    for (const GroupState& state : optimizer.states()) {
      const GroupLayout& layout = state.group().layout();
      const at::Tensor latents = gathered(state, state.exp_avg());
      for (const Segment& segment : layout.latents) {
        outcome.gradients.emplace_back(segment.name, segment.view(latents).clone());
      }
      for (const Segment& segment : layout.vectors) {
        outcome.gradients.emplace_back(segment.name, segment.view(state.vector_exp_avg()).clone());
      }
    }
  }
  for (const GroupState& state : optimizer.states()) {
    for (const at::Tensor* mine : {&state.latents(), &state.exp_avg(), &state.exp_avg_sq()}) {
      outcome.state.push_back(gathered(state, *mine));
    }
    for (const at::Tensor& all :
         {state.group().vectors(), state.vector_exp_avg(), state.vector_exp_avg_sq()}) {
      outcome.state.push_back(all.clone());
    }
  }
  return outcome;
}

struct Scene {
  TempFolder path;
  Scene() { test::write_tiny_llama(path.path(), {.biases = true, .layers = 3}); }

  // What the last process has; all have the same.
  Outcome train(const Ways& ways, at::ScalarType dtype, int steps = 1, double rate = 1e-3) const {
    Outcome last;
    const int threads = at::get_num_threads();
    ThreadProcesses::run(
        ways.world,
        [&](Communicator& processes) {
          at::set_num_threads(1);  // of each of these threads
          const HfFolder folder = test::open_folder(path.path());
          Outcome mine = train_in(processes, folder, ways, dtype, steps, rate);
          if (processes.rank() + 1 == processes.world()) last = std::move(mine);
        },
        ways.started);
    at::set_num_threads(threads);
    return last;
  }
};

// The worst parameter's difference, in units of its largest gradient.
double worst_gradient(const Outcome& got, const Outcome& want) {
  REQUIRE(got.gradients.size() == want.gradients.size());
  REQUIRE(want.gradients.size() > 100);
  double worst = 0;
  for (size_t i = 0; i < want.gradients.size(); ++i) {
    const auto& [name, expected] = want.gradients[i];
    REQUIRE(got.gradients[i].first == name);
    // Softmax does not see what moves all scores of a query alike: without a rotation between them
    // the gradient is rounding. Here keys are rotated, and every gradient counts.
    const double largest = expected.abs().max().item<double>();
    REQUIRE(largest > 0);
    worst =
        std::max(worst, (got.gradients[i].second - expected).abs().max().item<double>() / largest);
  }
  return worst;
}

double worst_state(const Outcome& got, const Outcome& want) {
  REQUIRE(got.state.size() == want.state.size());
  double worst = 0;
  for (size_t i = 0; i < want.state.size(); ++i) {
    if (want.state[i].numel() == 0) continue;
    worst = std::max(worst, (got.state[i] - want.state[i]).abs().max().item<double>());
  }
  return worst;
}

bool same_bytes(const Outcome& a, const Outcome& b) {
  bool same = a.losses == b.losses && a.state.size() == b.state.size();
  for (size_t i = 0; same && i < a.state.size(); ++i) same = at::equal(a.state[i], b.state[i]);
  return same;
}

std::vector<Ways> all_ways() {
  std::vector<Ways> ways;
  for (const int64_t world : {1, 2, 3, 4}) {
    for (const bool sharded : {false, true}) {
      for (const GradientReduce when : {GradientReduce::kStep, GradientReduce::kMicrobatch}) {
        for (const int64_t micro_batches : {1, 4}) {
          ways.push_back({.world = world,
                          .sharded = sharded,
                          .when = when,
                          .micro_batches = micro_batches,
                          .started = world == 3 ? Started::kLate : Started::kAtOnce});
        }
      }
    }
  }
  return ways;
}

TEST_CASE("gradients of every parameter are those of one process, whichever way they take") {
  const Scene scene;
  for (const auto& [dtype, tolerance] :
       {std::pair{at::kDouble, 1e-10}, std::pair{at::kFloat, 1e-5}}) {
    const Outcome one = scene.train({}, dtype);
    for (const Ways& ways : all_ways()) {
      INFO(ways.text() << " in " << dtype);
      const Outcome got = scene.train(ways, dtype);
      CHECK(worst_gradient(got, one) < tolerance);
      CHECK(got.losses.at(0) == Approx(one.losses.at(0)).epsilon(tolerance));
    }
  }
}

TEST_CASE("20 steps at a small rate: the losses of one process, and its signs for ten") {
  const Scene scene;
  const double rate = 1e-5;
  const Outcome one = scene.train({}, at::kFloat, 20, rate);
  const size_t groups = one.bits.size() / 20;
  REQUIRE(at::ne(one.bits[groups + 1], one.bits[19 * groups + 1]).any().item<bool>());
  for (const Ways& ways : all_ways()) {
    // With one micro-batch all ways have the same bytes, as the next case sees.
    const bool is_early = ways.when == GradientReduce::kMicrobatch;
    if (ways.sharded != is_early || (ways.micro_batches == 1 && !is_early)) continue;
    INFO(ways.text());
    const Outcome got = scene.train(ways, at::kFloat, 20, rate);
    for (size_t i = 0; i < 10 * groups; ++i) REQUIRE(at::equal(got.bits[i], one.bits[i]));
    REQUIRE(got.losses.size() == 20);
    for (size_t i = 0; i < 20; ++i) CHECK(got.losses[i] == Approx(one.losses[i]).epsilon(1e-5));
  }
}

TEST_CASE("runs of as many processes give the same bytes; where sums have one order, all ways do") {
  const Scene scene;
  for (const int64_t world : {2, 3}) {
    INFO(world);
    const Ways off{.world = world};
    const Outcome want = scene.train(off, at::kFloat, 4);
    CHECK(same_bytes(scene.train(off, at::kFloat, 4), want));
    // One micro-batch a step: nothing is added up in another order.
    Ways on{.world = world, .sharded = true, .when = GradientReduce::kMicrobatch};
    CHECK(same_bytes(scene.train(on, at::kFloat, 4), want));
    on.started = Started::kLate;
    CHECK(same_bytes(scene.train(on, at::kFloat, 4), want));
    on.recompute = Recompute::kNone;
    CHECK(same_bytes(scene.train(on, at::kFloat, 4), want));
  }
  // With several, sums over processes come before those over micro-batches, or behind them.
  for (const int64_t world : {1, 2, 4}) {
    const Ways off{.world = world, .micro_batches = 4};
    const Ways on{.world = world,
                  .sharded = true,
                  .when = GradientReduce::kMicrobatch,
                  .micro_batches = 4,
                  .recompute = Recompute::kNone,
                  .started = Started::kLate};
    const Outcome want = scene.train(off, at::kDouble, 4), got = scene.train(on, at::kDouble, 4);
    CHECK(worst_state(got, want) < 1e-10);
    CHECK(same_bytes(scene.train(on, at::kDouble, 4), got));
  }
}

TEST_CASE("gradients travel in bf16 where they are asked to, and are added up in fp32") {
  const Scene scene;
  const Ways wide{.world = 4, .when = GradientReduce::kMicrobatch, .micro_batches = 4};
  const Outcome want = scene.train(wide, at::kFloat);
  for (const GradientReduce when : {GradientReduce::kStep, GradientReduce::kMicrobatch}) {
    for (const Started started : {Started::kAtOnce, Started::kLate}) {
      Ways narrow = wide;
      narrow.when = when;
      narrow.travel = FloatKind::kBf16;
      narrow.started = started;
      const double gap = worst_gradient(scene.train(narrow, at::kFloat), want);
      // Each of up to 16 summands is rounded to 8 bits, and so are the sums of the tests' threads.
      CHECK(gap > 1e-4);
      CHECK(gap < 2e-2);
    }
  }
  // One process sends nothing, and rounds nothing.
  CHECK(same_bytes(scene.train({.travel = FloatKind::kBf16}, at::kFloat),
                   scene.train({}, at::kFloat)));
}

// A plan of a process, whose reduce-scatters arrive when they are waited for.
class LatePlan : public PlannedCommunicator {
 public:
  using PlannedCommunicator::PlannedCommunicator;
  bool is_asynchronous() const override { return true; }
};

TEST_CASE("whole gradients are never of more groups than two, and travel in half the bytes") {
  constexpr int64_t kLayers = 10, kWorld = 10;
  const TempFolder path;
  test::write_tiny_llama(path.path(), {.hidden = 256, .intermediate = 512, .layers = kLayers});
  const HfFolder folder = test::open_folder(path.path());
  const test::LoadedModel teacher(path.path());
  test::CountingAllocator& counter = test::CountingAllocator::instance();
  // Bytes that a step needs beside what was there before, at its worst and afterwards, divided by
  // those of one group's gradients; and bytes of latents' gradients given to the communicator.
  struct Need {
    double at_worst = 0, afterwards = 0;
    int64_t payload = 0;
  };
  const auto need_of = [&](PlannedCommunicator& processes, const ReduceOptions& options) {
    Decoder open = open_decoder(teacher.decoder);
    std::vector<LayerPlan> plans;
    open.visit_linears([&](LinearSlot& slot) {
      plans.push_back(
          {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = 64, .paths = 2});
    });
    Student student(std::move(open), plans);
    Optimizer optimizer(student, {}, Surrogate::kSmoothSign, processes);
    DistillationStep step(teacher.decoder, student, {}, Recompute::kFull);
    const double group = 4 * static_cast<double>(student.groups()[1].layout().num_latents);
    const at::Tensor ids = at::ones({1, 4}, at::TensorOptions().dtype(at::kLong));
    const int64_t before = counter.alive();
    counter.reset_peak();
    GradientReducer reducer(optimizer, options, 2);
    for (int i = 0; i < 2; ++i) {
      reducer.begin_micro_batch();
      step.accumulate(ids, 2, reducer);
    }
    reducer.finish();
    const auto since = [&](int64_t bytes) { return static_cast<double>(bytes - before) / group; };
    return Need{.at_worst = since(counter.peak()),
                .afterwards = since(counter.alive()),
                .payload = processes.traffic().at("reduce_scatter_sum").payload};
  };
  PlannedCommunicator plain(3, kWorld), whole(3, kWorld), narrow(3, kWorld);
  LatePlan late(3, kWorld);
  const Need early = need_of(plain, {.when = GradientReduce::kMicrobatch});
  const Need started = need_of(late, {.when = GradientReduce::kMicrobatch});
  const Need step = need_of(whole, {.when = GradientReduce::kStep});
  const Need bf16 =
      need_of(narrow, {.when = GradientReduce::kMicrobatch, .dtype = FloatKind::kBf16});
  INFO(early.at_worst << " " << started.at_worst << " " << step.at_worst << " " << bf16.at_worst);
  INFO(early.afterwards << " " << started.afterwards << " " << step.afterwards);
  // All slices of one process together are one group's, and so are the vectors' gradients, about.
  CHECK(early.afterwards < 2.3);
  CHECK(started.afterwards < 3.3);
  CHECK(step.afterwards > kLayers);
  // Beside them a block's expanded weights, and gradients by them.
  CHECK(early.at_worst < 5);
  CHECK(started.at_worst < 6);
  CHECK(step.at_worst > kLayers + 1);
  CHECK(bf16.at_worst < 6);
  CHECK(bf16.payload * 2 == early.payload);
  CHECK(early.payload == 2 * step.payload);
}

TEST_CASE("gradients of a step that is not taken are gone") {
  const Scene scene;
  for (const GradientReduce when : {GradientReduce::kStep, GradientReduce::kMicrobatch}) {
    const HfFolder folder = test::open_folder(scene.path.path());
    const test::LoadedModel teacher(scene.path.path());
    std::vector<LayerPlan> plans;
    Decoder open = open_decoder(teacher.decoder);
    open.visit_linears([&](LinearSlot& slot) {
      plans.push_back(
          {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = 8, .paths = 2});
    });
    Student student(std::move(open), plans);
    Optimizer optimizer(student, {}, Surrogate::kSmoothSign);
    Random start(5);
    for (GroupState& state : optimizer.states()) {
      at::Tensor latents = state.latents(), vectors = state.group().vectors();
      latents.copy_(start.normal(latents.sizes(), at::kFloat) * 0.01);
      vectors.copy_(start.normal(vectors.sizes(), at::kFloat) * 0.3);
    }
    optimizer.refresh_bits();
    DistillationStep step(teacher.decoder, student, {}, Recompute::kFull);
    GradientReducer reducer(optimizer, {.when = when}, 2), fresh(optimizer, {.when = when}, 2);
    const at::Tensor ids = Random(1).ids(48);
    const auto give = [&](GradientReducer& to, int count) {
      for (int i = 0; i < count; ++i) {
        to.begin_micro_batch();
        step.accumulate(ids.narrow(0, i, 1), 2, to);
      }
    };
    // A rate of zero: the norm is all that is looked at.
    const auto norm_of = [&](GradientReducer& from, int number) {
      from.finish();
      return optimizer.step(number, {0, 0, 0}).read_gradient_norm();
    };
    give(fresh, 2);
    const double want = norm_of(fresh, 1);
    CHECK(want > 0);
    give(reducer, 1);
    reducer.drop();
    give(reducer, 2);
    CHECK(norm_of(reducer, 2) == want);
  }
}

TEST_CASE("a sharded teacher gives what a whole one gives, and reads its own part only") {
  const auto logits_in = [&](const std::filesystem::path& path, int64_t world, Started started) {
    std::vector<at::Tensor> all(static_cast<size_t>(world));
    std::atomic<int64_t> collective = 0;
    ThreadProcesses::run(
        world,
        [&](Communicator& processes) {
          const HfFolder folder = test::open_folder(path);
          const ModelSpec spec = parse_model_spec(folder.config());
          const Decoder decoder =
              load_sharded_decoder(folder, spec, at::kFloat, at::kCPU, processes);
          collective += decoder.is_collective() ? 1 : 0;
          const at::Tensor ids = Random(2).ids(spec.vocab_size).narrow(0, 0, 3);
          // Twice: buffers are used again.
          forward_full(decoder, ids.flip(0), false);
          all[static_cast<size_t>(processes.rank())] = forward_full(decoder, ids, false).logits;
        },
        started);
    CHECK(collective == (world > 1 ? world : 0));
    for (const at::Tensor& each : all) CHECK(at::equal(each, all[0]));
    return all[0];
  };
  const TempFolder tiny;
  test::write_tiny_llama(tiny.path(), {.biases = true, .layers = 3});
  const auto golden = std::filesystem::path(test::kSourceDir) / "tests" / "golden" / "models";
  std::vector<std::filesystem::path> folders = {tiny.path()};
  // Matrices that are rows of one tensor, and projections outside of the blocks.
  for (const auto& entry : std::filesystem::directory_iterator(golden)) {
    if (entry.is_directory() && HfFolder(entry.path()).has_tensor_files()) {
      folders.push_back(entry.path());
    }
  }
  REQUIRE(folders.size() > 4);
  for (const auto& path : folders) {
    INFO(path);
    const test::LoadedModel whole(path);
    CHECK_FALSE(whole.decoder.is_collective());
    const at::Tensor ids = Random(2).ids(whole.decoder.spec().vocab_size).narrow(0, 0, 3);
    const at::Tensor want = forward_full(whole.decoder, ids, false).logits;
    for (const int64_t world : {1, 2, 3, 5}) {
      const Started started = world == 3 ? Started::kLate : Started::kAtOnce;
      CHECK(at::equal(logits_in(path, world, started), want));
    }
  }

  // A damaged number at the end of a block's last matrix is the last process's business.
  std::string bytes = read_file(tiny.path() / "model.safetensors");
  {
    const SafetensorsFile file(tiny.path() / "model.safetensors");
    const TensorView* last = file.find("model.layers.1.mlp.down_proj.bias");
    REQUIRE(last != nullptr);
    const std::string text(reinterpret_cast<const char*>(last->data.data()), last->data.size());
    const size_t place = bytes.find(text);
    REQUIRE(place != std::string::npos);
    bytes.replace(place + text.size() - 4, 4, std::string("\x00\x00\xc0\x7f", 4));
  }
  write_file(tiny.path() / "model.safetensors", bytes);
  const HfFolder damaged = test::open_folder(tiny.path());
  const ModelSpec spec = parse_model_spec(damaged.config());
  PlannedCommunicator first(0, 3), middle(1, 3), last(2, 3);
  CHECK_NOTHROW(load_sharded_decoder(damaged, spec, at::kFloat, at::kCPU, first));
  CHECK_NOTHROW(load_sharded_decoder(damaged, spec, at::kFloat, at::kCPU, middle));
  CHECK_THROWS_WITH(load_sharded_decoder(damaged, spec, at::kFloat, at::kCPU, last),
                    Catch::Matchers::Contains("model.layers.1.mlp.down_proj.bias") &&
                        Catch::Matchers::Contains("NaN"));
}

}  // namespace
}  // namespace littlebit
