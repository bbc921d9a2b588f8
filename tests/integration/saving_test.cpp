// When a run saves and what makes it stop: by the clock, in the background, by signals, by its time
// limit; a process that hangs, a disk that fails in one process.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "integration/outcome.h"
#include "integration/run_metrics.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/io/json.h"
#include "tiny_scene.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;
using Catch::Contains;
using Words = std::vector<std::string>;

void check_same(const fs::path& run, const fs::path& whole) {
  INFO(run);
  CHECK(!metrics_without_times(run).empty());
  CHECK(metrics_without_times(run) == metrics_without_times(whole));
  const char* exported = "export/packed/model.safetensors";
  CHECK(read_file(run / exported) == read_file(whole / exported));
}

Words on_one_thread(Words extra) {
  extra.push_back("train.threads=1");
  return extra;
}

// The program in the background of a shell, as process $P; `then` is done when there are steps.
Outcome in_background(const TinyScene& scene, const std::string& name, const Words& extra,
                      const std::string& then, const std::string& before = "") {
  std::string line = before + std::string(kBinaryDir) + "/bin/littlebit-train";
  for (const std::string& word : scene.words(name, on_one_thread(extra))) {
    line += " " + shell_quoted(word);
  }
  const std::string metrics = shell_quoted((scene / name / "metrics.jsonl").string());
  return run_line(line + " & P=$!; until [ -s " + metrics + " ]; do sleep 0.1; done; " + then +
                  "; wait $P; exit $?");
}

const std::string kChildren = "$(cat /proc/$P/task/$P/children)";

}  // namespace

TEST_CASE("checkpoints by the clock and in the background do not change a run") {
  const TinyScene scene;
  for (const Words& world : {Words{}, Words{"--nproc", "2"}}) {
    const std::string n = std::to_string(world.size());
    const auto train = [&](const std::string& name, Words extra) {
      extra.insert(extra.begin(), world.begin(), world.end());
      require_done(scene.train(name + n, on_one_thread(extra)));
      return scene / (name + n);
    };
    const fs::path whole = train("whole", {"checkpoint.every_minutes=0", "checkpoint.async=false"});
    CHECK_FALSE(fs::exists(whole / "checkpoints" / "step-5"));
    for (const char* async : {"true", "false"}) {
      const fs::path run = train(std::string("often-") + async,
                                 {"checkpoint.every_minutes=1e-7", "checkpoint.keep=0",
                                  "checkpoint.async=" + std::string(async)});
      check_same(run, whole);
      for (const int step : {1, 10, 19, 20}) {
        CHECK(fs::exists(run / "checkpoints" / ("step-" + std::to_string(step)) / "manifest.json"));
      }
    }
    // An epoch has 3 steps: stopped in the middle of one, at its end, and behind it.
    for (const int stop : {4, 6, 7}) {
      const std::string name = "stopped-" + std::to_string(stop);
      const std::string after = "train.stop_after=" + std::to_string(stop);
      train(name, {"checkpoint.every=2", after});
      check_same(train(name, {"checkpoint.every=2", "--resume", "auto"}), whole);
    }
  }
}

TEST_CASE("signals save and stop, and are named; one that was ignored stays ignored") {
  const TinyScene scene;
  const auto check_stopped = [&](const std::string& name, const Outcome& outcome,
                                 const std::string& by) {
    check_outcome(outcome, 143, {"stop requested by " + by + ": state of step "});
    CHECK(read_json_file(scene / name / "run.json").at("stopped_by") == by);
    CHECK_FALSE(fs::is_empty(scene / name / "checkpoints"));
  };
  const Words endless = {"train.steps=1000000"};
  for (const std::string signal : {"HUP", "USR1", "USR2", "XCPU"}) {
    check_stopped(signal, in_background(scene, signal, endless, "kill -" + signal + " $P"),
                  "SIG" + signal);
  }
  check_stopped("nohup",
                in_background(scene, "nohup", endless, "kill -HUP $P; sleep 0.3; kill -TERM $P",
                              "trap '' HUP; "),
                "SIGTERM");
  // One process of two is told: both know why.
  check_stopped("two",
                in_background(scene, "two", {"--nproc", "2", "train.steps=1000000"},
                              "set -- " + kChildren + "; kill -USR2 $2"),
                "SIGUSR2");
  // A run that goes on was not stopped.
  require_done(scene.train(
      "HUP", {"train.steps=1000000", "--resume", "auto", "train.stop_after=1", "train.threads=1"}));
  CHECK_FALSE(read_json_file(scene / "HUP" / "run.json").contains("stopped_by"));
}

TEST_CASE("a run stops in time for its time limit") {
  const TinyScene scene;
  const Outcome outcome = scene.train(
      "limited", on_one_thread({"train.steps=1000000", "train.time_limit=0:04", "log.every=100"}));
  check_outcome(outcome, 143, {"stop requested by train.time_limit: state of step "});
  const Json run = read_json_file(scene / "limited" / "run.json");
  CHECK(run.at("stopped_by") == "train.time_limit");
  CHECK(run.at("seconds") > 2);
  CHECK(run.at("seconds") < 5);  // a busy machine may take longer than the margin
  CHECK(fs::exists(scene / "limited" / "checkpoints" /
                   ("step-" + std::to_string(run.at("step").get<int64_t>())) / "manifest.json"));
  check_refused(scene.train("wrong", {"train.time_limit=1h"}), 2,
                {"train.time_limit", "is \"1h\", expected minutes (90)"});
}

TEST_CASE("a process that hangs is named by the others within the time they wait") {
  const TinyScene scene;
  const Stopwatch stopwatch;
  const Outcome outcome =
      in_background(scene, "hangs", {"--nproc", "2", "train.steps=1000000", "train.peer_timeout=2"},
                    "set -- " + kChildren + "; kill -STOP $2");
  check_outcome(outcome, 75, {"rank 1 on ", "did not arrive in time", "step "});
  CHECK(stopwatch.seconds() < 60);
}

TEST_CASE("a disk full in one process only, and a state file cut short: resumed from the older") {
  const TinyScene scene;
  const Words two = {"--nproc", "2", "checkpoint.keep=0", "checkpoint.every=2"};
  const auto train = [&](const std::string& name, Words extra) {
    extra.insert(extra.begin(), two.begin(), two.end());
    return scene.train(name, on_one_thread(extra));
  };
  require_done(train("whole", {}));
  require_done(train("full", {"train.stop_after=4"}));
  const fs::path older = scene / "full" / "checkpoints" / "step-4";
  const std::string state = read_file(older / "state-00002-of-00002.safetensors");

  // The second process may write 4 KiB; the first writes what it likes.
  std::string command = std::string(kBinaryDir) + "/bin/littlebit-train";
  for (const std::string& word :
       scene.words("full", on_one_thread({"--resume", "auto", "checkpoint.every=2"}))) {
    command += " " + shell_quoted(word);
  }
  const Outcome outcome = run_line(
      "export WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + $$ % "
      "10000)); (ulimit -f 8; RANK=1 LOCAL_RANK=1 " +
      command + ") & P=$!; RANK=0 LOCAL_RANK=0 " + command +
      "; A=$?; wait $P; B=$?; [ $A = $B ] || exit 99; exit $A");
  check_outcome(outcome, 5, {"step 6 is not saved: process 1: ", "File too large"});
  CHECK(read_file(older / "state-00002-of-00002.safetensors") == state);
  CHECK_FALSE(fs::exists(scene / "full" / "checkpoints" / "step-6"));
  require_done(train("full", {"--resume", "auto"}));
  check_same(scene / "full", scene / "whole");

  require_done(train("cut", {"train.stop_after=6"}));
  const fs::path newest =
      scene / "cut" / "checkpoints" / "step-6" / "state-00002-of-00002.safetensors";
  fs::resize_file(newest, fs::file_size(newest) / 2);
  const Outcome resumed = train("cut", {"--resume", "auto"});
  require_done(resumed);
  CHECK_THAT(resumed.err, Contains("resumed from") && Contains("step-4, step 4"));
  check_same(scene / "cut", scene / "whole");
}

}  // namespace littlebit::test
