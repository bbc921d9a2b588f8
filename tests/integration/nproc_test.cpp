// littlebit-train --nproc: N processes of the program itself, their lines, their exit code.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "littlebit/core/file.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "tiny_scene.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using test::run_program;

TEST_CASE("--nproc starts the program with its other arguments") {
  const std::string alone = run_program("littlebit-train", {"train.steps=7", "--print-config"}).out;
  REQUIRE(!alone.empty());
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--nproc", "2", "train.steps=7", "--print-config"},
        {"train.steps=7", "--nproc=2", "--print-config"}}) {
    const test::Outcome both = run_program("littlebit-train", words);
    INFO(both.err);
    CHECK(both.code == 0);
    for (const char* mark : {"[0] ", "[1] "}) {
      std::string own;
      for (const std::string& line : split(both.out, '\n')) {
        if (line.starts_with(mark)) own += line.substr(4) + "\n";
      }
      CHECK(own == alone);
    }
  }
}

TEST_CASE("--nproc's mistakes, and those of the processes, end with their exit codes") {
  const test::Outcome none = run_program("littlebit-train", {"--nproc", "0", "--print-config"});
  CHECK(none.code == 2);
  CHECK(none.out.empty());
  CHECK_THAT(none.err, Contains("--nproc was given \"0\"") && Contains("from 1 to 1024"));
  const test::Outcome wrong = run_program("littlebit-train", {"--nproc", "2", "train.stepz=7"});
  CHECK(wrong.code == 2);
  CHECK_THAT(wrong.err, Contains("[0] error: ") || Contains("[1] error: "));
  const test::Outcome inside = run_program("littlebit-train", {"--nproc", "2", "--print-config"},
                                           "RANK=1 WORLD_SIZE=4 MASTER_ADDR=127.0.0.1");
  CHECK(inside.code == 2);
  CHECK_THAT(inside.err, Contains("this is process 1 of 4 (RANK and WORLD_SIZE)"));
  CHECK_THAT(run_program("littlebit-train", {"--help"}).out, Contains("--nproc N"));
}

namespace {

std::vector<double> losses(const std::filesystem::path& run) {
  std::ifstream stream(run / "metrics.jsonl");
  std::vector<double> values;
  for (std::string line; std::getline(stream, line);) {
    values.push_back(parse_json(line, "metrics").at("loss").get<double>());
  }
  return values;
}

void check_close(const std::vector<double>& got, const std::vector<double>& want, size_t from,
                 size_t to) {
  REQUIRE(got.size() == want.size());
  for (size_t i = from; i < to; ++i) {
    INFO("step " << i + 1);
    CHECK(got[i] == Approx(want[i]).epsilon(1e-5));
  }
}

}  // namespace

TEST_CASE("several processes train what one trains, and go on with each other's checkpoints") {
  const test::TinyScene scene;
  // A rate at which no sign flips by the order of a sum.
  const std::vector<std::string> slow = {"optim.learning_rate=1e-5", "checkpoint.every=10",
                                         "train.threads=1", "export.formats=[packed]"};
  const auto train = [&](const std::string& output, int processes,
                         const std::vector<std::string>& extra = {}) {
    std::vector<std::string> words = scene.words(output, slow);
    words.insert(words.end(), extra.begin(), extra.end());
    if (processes > 1) words.insert(words.begin(), {"--nproc", std::to_string(processes)});
    const test::Outcome outcome = test::run_program("littlebit-train", words);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return outcome;
  };
  train("one", 1);
  const test::Outcome said = train("two", 2);
  train("four", 4);
  train("two-again", 2);
  const std::vector<double> one = losses(scene / "one");
  check_close(losses(scene / "two"), one, 0, 20);
  check_close(losses(scene / "four"), one, 0, 20);
  CHECK(losses(scene / "two-again") == losses(scene / "two"));
  const auto exported = [&](const std::string& name) {
    return read_file(scene / name / "export" / "packed" / "model.safetensors");
  };
  CHECK(exported("two-again") == exported("two"));
  // The first alone speaks and writes.
  CHECK_THAT(said.err, Contains("[0] done in") && !Contains("[1] done in"));
  const std::filesystem::path state = scene / "four" / "checkpoints" / "step-20";
  CHECK(path_exists(state / "state-00004-of-00004.safetensors"));
  CHECK_FALSE(path_exists(state / "state.safetensors"));

  const auto hand_over = [&](int first, int second, const std::string& name) {
    train(name, first, {"train.stop_after=10"});
    train(name, second, {"--resume", "auto"});
    return losses(scene / name);
  };
  check_close(hand_over(1, 2, "1-2"), one, 0, 20);
  check_close(hand_over(4, 1, "4-1"), one, 0, 20);
  CHECK(hand_over(2, 2, "2-2") == losses(scene / "two"));
  CHECK(exported("2-2") == exported("two"));
}

TEST_CASE("runs of several processes: refused, stopped, one lost") {
  const test::TinyScene scene;
  const auto words = [&](const std::string& output, std::vector<std::string> extra) {
    extra.insert(extra.begin(), {"--nproc", "2", "train.threads=1"});
    return scene.words(output, extra);
  };
  const test::Outcome odd =
      test::run_program("littlebit-train", words("odd", {"train.global_batch_size=5"}));
  CHECK(odd.code == 2);
  CHECK_THAT(odd.err, Contains("cannot be divided among 2 processes") &&
                          Contains("train.global_batch_size=4 or 6"));
  CHECK_FALSE(path_exists(scene / "odd"));

  // In the background of a shell, which sends the signal when there are steps.
  const auto with_signal = [&](const std::string& name, const std::string& kill) {
    const std::string metrics = test::shell_quoted((scene / name / "metrics.jsonl").string());
    std::string line;
    for (const std::string& word : words(name, {"train.steps=100000"})) {
      line += " " + test::shell_quoted(word);
    }
    return test::run_line(std::string(test::kBinaryDir) + "/bin/littlebit-train" + line +
                          " & P=$!; until [ -s " + metrics + " ]; do sleep 0.1; done; " + kill +
                          "; wait $P; exit $?");
  };
  const test::Outcome stopped = with_signal("stop", "kill -TERM $P");
  INFO(stopped.err);
  CHECK(stopped.code == 143);
  CHECK(path_exists(scene / "stop" / "checkpoints"));
  const test::Outcome lost =
      with_signal("lost", "kill -KILL $(awk '{print $NF}' /proc/$P/task/$P/children)");
  INFO(lost.err);
  CHECK(lost.code == 75);
}
