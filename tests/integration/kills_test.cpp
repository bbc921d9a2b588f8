// Runs of one and two processes, with block-wise training and without, that are killed again and
// again, one process or all, at random times and at named points (core/kill_point.h), and resumed
// until they are done: lines of metrics (without times) and export are those of a run that was
// never disturbed. LITTLEBIT_KILLS: how many kills; `make soak` asks for 200.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <compare>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "integration/run_metrics.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/io/json.h"
#include "tiny_scene.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;

constexpr double kHangSeconds = 60;

// A program of the build, with its output in a file.
class Started {
 public:
  Started(std::vector<std::string> words, fs::path log, const std::string& kill_at)
      : log_(std::move(log)) {
    words.insert(words.begin(), std::string(kBinaryDir) + "/bin/littlebit-train");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ > 0) return;
    const int out = open(log_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    if (!kill_at.empty()) setenv("LITTLEBIT_KILL_AT", kill_at.c_str(), 1);
    execv(argv[0], argv.data());
    _exit(98);
  }

  // The processes that the launcher started.
  std::vector<pid_t> children() const {
    const std::string pid = std::to_string(pid_);
    std::ifstream list("/proc/" + pid + "/task/" + pid + "/children");
    std::vector<pid_t> pids;
    for (pid_t child = 0; list >> child;) pids.push_back(child);
    return pids;
  }

  // SIGKILL to one process of the run, or (victim < 0) to all, launcher included.
  void kill_one_or_all(int victim) const {
    const std::vector<pid_t> pids = children();
    if (victim >= 0 && !pids.empty()) {
      kill(pids[static_cast<size_t>(victim) % pids.size()], SIGKILL);
      return;
    }
    kill(pid_, SIGKILL);
    for (const pid_t child : pids) kill(child, SIGKILL);
  }

  bool has_ended() {
    if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) == pid_;
    return ended_;
  }

  bool wait_for(double seconds) {
    const Stopwatch stopwatch;
    while (!has_ended() && stopwatch.seconds() < seconds) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return ended_;
  }

  // 128 + its number for a signal.
  int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_); }
  std::string said() const { return read_file(log_); }

 private:
  fs::path log_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

struct Kill {
  std::string point;   // "": at a time
  int most_count = 1;  // of a point
};

// A turn of kinds: each point once, and times.
const std::vector<Kill> kTurn = {{"factorisation", 10},
                                 {"reduce", 9},
                                 {""},
                                 {"update", 9},
                                 {"gather", 9},
                                 {""},
                                 {"write", 60},
                                 {""},
                                 {""},
                                 {""},
                                 {"before_rename", 2},
                                 {"between_renames", 2}};
constexpr int kKillsOfARun = 4;

// How a run is made: of so many processes, with block-wise training first or without.
struct Way {
  int world;
  bool blockwise;
  auto operator<=>(const Way&) const = default;
};
constexpr Way kWays[] = {{1, false}, {2, true}, {2, false}, {1, true}};

class Soak {
 public:
  Soak() {
    for (const Way& way : kWays) {
      const Stopwatch stopwatch;
      Started whole(words("whole", way), scene_ / "log", "");
      REQUIRE(whole.wait_for(kHangSeconds));
      INFO(whole.said());
      REQUIRE(whole.code() == 0);
      seconds_[way] = stopwatch.seconds();
    }
  }

  // A run that is killed up to so many times and resumed until it is done; how often it was.
  int run(int index, int most_kills) {
    const Way way = kWays[index % std::size(kWays)];
    const std::string name = "run-" + std::to_string(index);
    int kills = 0;
    while (true) {
      const Kill* kind = kills < most_kills ? &kTurn[turn_++ % kTurn.size()] : nullptr;
      const int code = start(name, way, kind);
      if (code == 0) break;
      ++kills;
      ++killed_at_[kind->point.empty() ? "a random time" : kind->point];
    }
    check_same(name, way);
    fs::remove_all(scene_ / (name + suffix(way)));
    return kills;
  }

  const std::map<std::string, int>& killed_at() const { return killed_at_; }
  double longest() const { return longest_; }

 private:
  static std::string suffix(const Way& way) {
    return "-of-" + std::to_string(way.world) + (way.blockwise ? "-blockwise" : "");
  }
  int draw(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }

  std::vector<std::string> words(const std::string& name, const Way& way) {
    std::vector<std::string> extra = {
        "--resume", "auto", "train.threads=1",
        // The weight of hidden states goes by what the steps before came to.
        "distill.hidden=relative", "distill.hidden_schedule=while_far",
        way.blockwise ? "train.steps=18" : "train.steps=30", "checkpoint.every=3",
        "checkpoint.keep=1", draw(3) == 0 ? "checkpoint.async=false" : "checkpoint.async=true"};
    if (way.blockwise) {  // 2 blocks of 6 steps
      extra.insert(extra.end(),
                   {"blockwise.sequences=4", "blockwise.passes=3", "blockwise.batch_size=2",
                    draw(2) == 0 ? "blockwise.storage=disk" : "blockwise.storage=memory"});
    }
    if (way.world > 1) extra.insert(extra.begin(), {"--nproc", std::to_string(way.world)});
    return scene_.words(name + suffix(way), extra);
  }

  // One start, which is to be killed where `kind` is given. 0: it was done before that.
  int start(const std::string& name, const Way& way, const Kill* kind) {
    std::string kill_at;
    const int victim = way.world == 1 ? -1 : draw(way.world + 1) - 1;
    if (kind != nullptr && !kind->point.empty()) {
      kill_at = kind->point + ":" + std::to_string(1 + draw(kind->most_count));
      // What only the first process does, it is killed at.
      const bool is_of_first = kind->point.ends_with("names") || kind->point == "before_rename" ||
                               kind->point == "factorisation";
      if (victim >= 0 && !is_of_first) kill_at += ":" + std::to_string(victim);
    }
    const Stopwatch stopwatch;
    Started program(words(name, way), scene_ / "log", kill_at);
    if (kind != nullptr && kind->point.empty()) {
      const double share = std::uniform_real_distribution<double>(0.05, 0.9)(random_);
      if (!program.wait_for(share * seconds_.at(way))) program.kill_one_or_all(victim);
    }
    const bool ended = program.wait_for(kHangSeconds);
    if (!ended) program.kill_one_or_all(-1);
    INFO(name << suffix(way) << " " << kill_at << ", victim " << victim << "\n" << program.said());
    REQUIRE(ended);
    longest_ = std::max(longest_, stopwatch.seconds());
    const int code = program.code();
    if (kind == nullptr) {
      REQUIRE(code == 0);
    } else if (code != 0) {
      REQUIRE((code == 75 || code == 128 + SIGKILL));
    }
    return code;
  }

  void check_same(const std::string& name, const Way& way) const {
    const std::string whole = "whole" + suffix(way), run = name + suffix(way);
    INFO(run);
    REQUIRE(metrics_without_times(scene_ / run).size() == 30);
    REQUIRE(metrics_without_times(scene_ / run) == metrics_without_times(scene_ / whole));
    const char* exported = "export/packed/model.safetensors";
    REQUIRE(read_file(scene_ / run / exported) == read_file(scene_ / whole / exported));
    for (const fs::directory_entry& entry : fs::directory_iterator(scene_ / run / "checkpoints")) {
      REQUIRE(entry.path().filename() == "step-30");
    }
  }

  TinyScene scene_;
  std::mt19937 random_{20260};
  std::map<Way, double> seconds_;
  std::map<std::string, int> killed_at_;
  size_t turn_ = 0;
  double longest_ = 0;
};

}  // namespace

TEST_CASE("runs that are killed again and again come to the same bytes") {
  const char* asked = std::getenv("LITTLEBIT_KILLS");
  const int wanted = asked == nullptr ? 12 : std::atoi(asked);
  REQUIRE(wanted > 0);
  const Stopwatch stopwatch;
  Soak soak;
  int kills = 0, runs = 0;
  for (; kills < wanted; ++runs) {
    REQUIRE(runs < 4 * wanted);
    kills += soak.run(runs, std::min(kKillsOfARun, wanted - kills));
  }
  std::string where;
  for (const auto& [point, count] : soak.killed_at()) {
    where += ", " + std::to_string(count) + " at " + point;
  }
  std::printf("%d kills in %d runs, %.0f s, the longest start %.1f s%s\n", kills, runs,
              stopwatch.seconds(), soak.longest(), where.c_str());
  if (wanted >= 100) CHECK(soak.killed_at().size() == 8);
}

}  // namespace littlebit::test
