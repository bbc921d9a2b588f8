// Block-wise training as a phase of a run: what it leaves, that it can be stopped anywhere, and
// that processes divide it.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "integration/outcome.h"
#include "integration/run_metrics.h"
#include "littlebit/core/read_file.h"
#include "littlebit/io/json.h"
#include "tiny_scene.h"

namespace littlebit::test {
namespace {

// 2 blocks, 3 passes over 4 sequences in steps of 2: 6 steps for each block, then the rest.
constexpr int64_t kSteps = 12;

std::vector<std::string> with_phase(std::vector<std::string> extra = {}) {
  extra.insert(extra.begin(),
               {"blockwise.sequences=4", "blockwise.passes=3", "blockwise.batch_size=2",
                "train.threads=1", "train.steps=5", "optim.warmup_ratio=0"});
  return extra;
}

std::vector<std::string> in_two(std::vector<std::string> words) {
  words.insert(words.begin(), {"--nproc", "2"});
  return words;
}

std::string exported(const TinyScene& scene, const std::string& run) {
  return read_file(scene / run / "export/packed/model.safetensors");
}

}  // namespace

TEST_CASE("block-wise training: block after block, its tokens counted, then all together") {
  const TinyScene scene;
  require_done(scene.train("run", with_phase()));
  const std::vector<Json> lines = metrics_without_times(scene / "run");
  REQUIRE(lines.size() == kSteps + 5);
  for (int64_t i = 0; i < kSteps; ++i) {
    INFO("step " << i + 1);
    CHECK(lines[i].at("block") == i / 6 + 1);
    CHECK(lines[i].at("loss_kl") == 0.0);
    // 2 sequences of 16 tokens through one of 2 blocks.
    CHECK(lines[i].at("tokens") == (i + 1) * 16);
    // The schedule begins anew with each block.
    CHECK(lines[i].at("learning_rate") == lines[i % 6].at("learning_rate"));
  }
  // Each block comes nearer to the teacher's, on the same sequences.
  for (const int64_t begin : {0, 6}) {
    CHECK(lines[begin + 4].at("loss").get<double>() < lines[begin].at("loss").get<double>());
  }
  CHECK_FALSE(lines[kSteps].contains("block"));
  CHECK(lines[kSteps].at("learning_rate") == 5e-3);
  CHECK(lines[kSteps].at("tokens") == kSteps * 16 + 4 * 16);

  SECTION("alone") {
    require_done(scene.train("alone", with_phase({"train.steps=0"})));
    const std::vector<Json> alone = metrics_without_times(scene / "alone");
    REQUIRE(alone.size() == kSteps);
    CHECK(alone == std::vector<Json>(lines.begin(), lines.begin() + kSteps));
    CHECK(exported(scene, "alone") != exported(scene, "run"));
  }
  SECTION("with rates of its own") {
    require_done(scene.train("rates", with_phase({"blockwise.learning_rate=1e-3",
                                                  "blockwise.latent_learning_rate=2e-3"})));
    const std::vector<Json> rates = metrics_without_times(scene / "rates");
    CHECK(rates[0].at("learning_rate") == 1e-3);
    CHECK(rates[0].at("latent_learning_rate") == 2e-3);
    CHECK(rates[kSteps].at("learning_rate") == 5e-3);
  }
}

TEST_CASE("block-wise training: stopped at any step and resumed, it gives the same bytes") {
  const TinyScene scene;
  require_done(scene.train("whole", with_phase()));
  const std::vector<Json> lines = metrics_without_times(scene / "whole");
  // Inside a block, between blocks, between the phases, behind them.
  std::vector<std::string> words = with_phase({"--resume", "auto"});
  for (const char* stop : {"3", "6", "9", "12", "14"}) {
    std::vector<std::string> stopped = words;
    stopped.push_back(std::string("train.stop_after=") + stop);
    require_done(scene.train("parts", stopped));
  }
  require_done(scene.train("parts", words));
  CHECK(metrics_without_times(scene / "parts") == lines);
  CHECK(exported(scene, "parts") == exported(scene, "whole"));
  const Outcome other =
      scene.train("parts", with_phase({"--resume", "auto", "blockwise.passes=2"}));
  check_outcome(other, 2, {"blockwise.passes was 3, is 2"});
}

TEST_CASE("block-wise training: what is kept on the disk gives the same bytes, stopped or not") {
  const TinyScene scene;
  const auto on_disk = [](std::vector<std::string> extra = {}) {
    extra.push_back("blockwise.storage=disk");
    return with_phase(std::move(extra));
  };
  require_done(scene.train("memory", with_phase()));
  require_done(scene.train("disk", on_disk({"checkpoint.every=4"})));
  for (const char* stop : {"3", "6", "8", "12", "14"}) {
    // From one way of keeping it to the other.
    const std::vector<std::string> words = {"--resume", "auto",
                                            std::string("train.stop_after=") + stop};
    require_done(scene.train("parts", *stop == '8' ? with_phase(words) : on_disk(words)));
  }
  require_done(scene.train("parts", on_disk({"--resume", "auto"})));
  for (const char* run : {"disk", "parts"}) {
    INFO(run);
    CHECK(metrics_without_times(scene / run) == metrics_without_times(scene / "memory"));
    CHECK(exported(scene, run) == exported(scene, "memory"));
    // Latents and moments too.
    const std::string state = "checkpoints/step-17/state.safetensors";
    CHECK(read_file(scene / run / state) == read_file(scene / "memory" / state));
    for (const auto& entry : std::filesystem::directory_iterator(scene / run)) {
      CHECK(entry.path().filename().string().find("scratch") == std::string::npos);
    }
  }
  require_done(scene.train("two-memory", in_two(with_phase())));
  require_done(scene.train("two-disk", in_two(on_disk())));
  CHECK(metrics_without_times(scene / "two-disk") == metrics_without_times(scene / "two-memory"));
  CHECK(exported(scene, "two-disk") == exported(scene, "two-memory"));
}

TEST_CASE("block-wise training: processes divide its batches and come to the same losses") {
  const TinyScene scene;
  require_done(scene.train("one", with_phase()));
  require_done(scene.train("two", in_two(with_phase())));
  const std::vector<Json> one = metrics_without_times(scene / "one"),
                          two = metrics_without_times(scene / "two");
  REQUIRE(one.size() == two.size());
  for (size_t i = 0; i < one.size(); ++i) {
    INFO("step " << i + 1);
    CHECK(two[i].at("loss").get<double>() == Approx(one[i].at("loss").get<double>()).epsilon(2e-3));
    CHECK(two[i].at("tokens") == one[i].at("tokens"));
  }
  require_done(scene.train("sharded", in_two(with_phase({"train.teacher=sharded"}))));
  CHECK(metrics_without_times(scene / "sharded") == two);
  const Outcome odd = scene.train("odd", in_two(with_phase({"blockwise.batch_size=1"})));
  check_outcome(odd, 2, {"block-wise training of 1 sequences", "blockwise.batch_size=2"});
}

TEST_CASE("block-wise training: sequences that make no whole steps are refused") {
  const TinyScene scene;
  check_outcome(scene.train("run", {"blockwise.sequences=5", "blockwise.batch_size=2"}), 2,
                {"blockwise.sequences", "not a multiple of blockwise.batch_size, 2"});
}

}  // namespace littlebit::test
