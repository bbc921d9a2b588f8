// Factorising by several processes (threads of this one) against one.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <map>
#include <mutex>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/quant/initialize.h"
#include "support/loaded_model.h"
#include "support/thread_processes.h"
#include "support/tiny_model.h"
#include "temp_folder.h"

using namespace littlebit;
using Catch::Matchers::Contains;

namespace {

constexpr uint64_t kSeed = 7;

// Keeps the factors as they come, by layer.
class WholeSink : public StudentSink {
 public:
  using StudentSink::StudentSink;
  void put(size_t group, size_t layer, const LayerFactors& factors,
           const at::Tensor& bias) override {
    StudentSink::put(group, layer, factors, bias);
    std::vector<at::Tensor> all;
    for (const FactorPath& path : factors.paths) {
      for (const at::Tensor* part : {&path.U, &path.V, &path.u1, &path.u2, &path.v1, &path.v2}) {
        all.push_back(part->clone());
      }
    }
    const std::lock_guard lock(mutex_);
    factors_[{group, layer}] = std::move(all);
  }
  const auto& factors() const { return factors_; }

 private:
  std::mutex mutex_;
  std::map<std::pair<size_t, size_t>, std::vector<at::Tensor>> factors_;
};

struct Scene {
  TempFolder folder;
  test::LoadedModel teacher;
  std::vector<LayerPlan> plans;
  QuantOptions quant;

  Scene() : teacher((test::write_tiny_llama(folder.path(), {.biases = true}), folder.path())) {
    quant.bits_per_weight = 2;
    Decoder open = open_decoder(teacher.decoder);
    plans = plan_model(open, quant);
  }

  struct Result {
    std::map<std::pair<size_t, size_t>, std::vector<at::Tensor>> factors;
    std::vector<LayerReport> reports;
    std::vector<at::Tensor> vectors, bits;
    int shown = 0;
  };
  Result factorize(Communicator& processes, int threads, const LayerKeeper& keeper = {}) const {
    Result result;
    Student student(open_decoder(teacher.decoder), plans);
    WholeSink sink(student);
    at::set_num_threads(threads);
    result.reports = factorize_model(
        sink, teacher.folder, plans, quant, kSeed, [&](const LayerReport&) { ++result.shown; },
        keeper, processes);
    result.factors = sink.factors();
    for (const StudentGroup& group : student.groups()) {
      result.vectors.push_back(group.vectors().clone());
      result.bits.push_back(group.bits().clone());
    }
    return result;
  }
};

void check_same(const Scene::Result& got, const Scene::Result& want) {
  REQUIRE(got.factors.size() == want.factors.size());
  bool same = true;
  for (const auto& [place, factors] : want.factors) {
    const std::vector<at::Tensor>& mine = got.factors.at(place);
    REQUIRE(mine.size() == factors.size());
    for (size_t i = 0; i < factors.size(); ++i) same = same && mine[i].equal(factors[i]);
  }
  for (size_t i = 0; i < want.vectors.size(); ++i) {
    same = same && got.vectors[i].equal(want.vectors[i]) && got.bits[i].equal(want.bits[i]);
  }
  CHECK(same);
  REQUIRE(got.reports.size() == want.reports.size());
  for (size_t i = 0; i < want.reports.size(); ++i) {
    CHECK(got.reports[i].plan.name == want.reports[i].plan.name);
    CHECK(got.reports[i].relative_error == want.reports[i].relative_error);
  }
}

}  // namespace

TEST_CASE("any number of processes and threads finds the factors that one finds") {
  const Scene scene;
  const Scene::Result want = scene.factorize(solo(), 2);
  check_same(scene.factorize(solo(), 1), want);
  for (const int64_t world : {1, 2, 3, 4}) {
    std::mutex mutex;
    std::vector<Scene::Result> results;
    std::multiset<std::string> made;
    const LayerKeeper keeper{.find = {}, .keep = [&](const LayerPlan& plan, const LayerFactors&) {
                               const std::lock_guard lock(mutex);
                               made.insert(plan.name);
                             }};
    test::ThreadProcesses::run(world, [&](Communicator& processes) {
      // Not as many threads in each: the fewest count.
      Scene::Result result = scene.factorize(processes, processes.is_first() ? 2 : 1, keeper);
      const std::lock_guard lock(mutex);
      results.push_back(std::move(result));
    });
    INFO(world << " processes");
    for (const Scene::Result& result : results) {
      check_same(result, want);
      CHECK(result.shown == static_cast<int>(scene.plans.size()));
    }
    // Each layer once, in one of them.
    CHECK(made.size() == scene.plans.size());
    CHECK(std::set<std::string>(made.begin(), made.end()).size() == made.size());
  }
}

TEST_CASE("layers that were kept are taken by another number of processes") {
  const Scene scene;
  const Scene::Result want = scene.factorize(solo(), 1);
  std::mutex mutex;
  std::map<std::string, LayerFactors> kept;
  std::atomic<int> made = 0;
  const LayerKeeper keeper{.find = [&](const LayerPlan& plan) -> std::optional<LayerFactors> {
                             const std::lock_guard lock(mutex);
                             const auto found = kept.find(plan.name);
                             if (found == kept.end()) return std::nullopt;
                             return found->second;
                           },
                           .keep =
                               [&](const LayerPlan& plan, const LayerFactors& factors) {
                                 const std::lock_guard lock(mutex);
                                 kept[plan.name] = factors;
                                 // Told to stop while the first round is made.
                                 if (++made == 2) raise(SIGTERM);
                               }};
  install_stop_handlers();
  std::vector<std::string> ends;
  int stops = 0;
  test::ThreadProcesses::run(2, [&](Communicator& processes) {
    try {
      scene.factorize(processes, 1, keeper);
    } catch (const Error& stopped) {
      const std::lock_guard lock(mutex);
      ends.emplace_back(stopped.what());
      stops += stopped.code() == ExitCode::kStopped ? 1 : 0;
    }
  });
  clear_stop_request();
  CHECK(stops == 2);
  const size_t before = kept.size();
  REQUIRE(ends.size() == 2);
  CHECK(ends[0] == ends[1]);
  CHECK_THAT(ends[0], Contains(std::to_string(before) + " of " +
                               std::to_string(scene.plans.size()) + " layers are done"));
  REQUIRE(before >= 2);
  REQUIRE(before < scene.plans.size());
  std::vector<Scene::Result> results;
  test::ThreadProcesses::run(3, [&](Communicator& processes) {
    Scene::Result result = scene.factorize(processes, 1, keeper);
    const std::lock_guard lock(mutex);
    results.push_back(std::move(result));
  });
  for (const Scene::Result& result : results) check_same(result, want);
  CHECK(made == static_cast<int>(scene.plans.size()));  // none was made twice
}

TEST_CASE("a layer that fails in one process ends all of them") {
  const Scene scene;
  std::mutex mutex;
  std::vector<std::string> ends;
  test::ThreadProcesses::run(3, [&](Communicator& processes) {
    const LayerKeeper keeper{.find = {}, .keep = [&](const LayerPlan&, const LayerFactors&) {
                               if (processes.rank() == 1) throw OutputError("no room");
                             }};
    try {
      scene.factorize(processes, 1, keeper);
    } catch (const OutputError& failed) {
      const std::lock_guard lock(mutex);
      ends.emplace_back(failed.what());
    }
  });
  std::sort(ends.begin(), ends.end());
  CHECK(ends == std::vector<std::string>{"no room", "process 1: no room", "process 1: no room"});
}
