// --estimate-memory against what a run takes, as the kernel counts it.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "integration/outcome.h"
#include "littlebit/io/json.h"
#include "support/tiny_model.h"

using namespace littlebit;

namespace {

// Anonymous memory of a process: resident, not of a file. 0 once it is gone.
int64_t anonymous_bytes(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  }
  return 0;
}

// Those that a process started.
std::vector<pid_t> children_of(pid_t process) {
  const std::string id = std::to_string(process);
  std::ifstream list("/proc/" + id + "/task/" + id + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; list >> child;) children.push_back(child);
  return children;
}

// The most that littlebit-train held; where it is the launcher of several, each of them in the
// order in which they were started.
std::vector<int64_t> peaks_of(const std::vector<std::string>& words) {
  const std::string program = std::string(test::kBinaryDir) + "/bin/littlebit-train";
  std::vector<char*> arguments = {const_cast<char*>(program.c_str())};
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  // Not by fork(): until it is another program the child would be a copy of this one, memory and
  // all.
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&quiet, descriptor, "/dev/null", O_WRONLY, 0);
  }
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, program.c_str(), &quiet, nullptr, arguments.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&quiet);
  const bool launches = words[0] == "--nproc";
  std::map<pid_t, int64_t> peaks;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    for (const pid_t each : launches ? children_of(child) : std::vector<pid_t>{child}) {
      peaks[each] = std::max(peaks[each], anonymous_bytes(each));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  std::vector<int64_t> in_order;
  for (const auto& [process, peak] : peaks) in_order.push_back(peak);
  return in_order;
}
int64_t peak_of(const std::vector<std::string>& words) { return peaks_of(words).at(0); }

// The total of the table, in bytes.
int64_t estimate_of(std::vector<std::string> words) {
  words.insert(words.begin(), "--estimate-memory");
  const test::Outcome outcome = test::run_program("littlebit-train", words);
  test::check_outcome(outcome, 0, {"total"});
  std::smatch found;
  REQUIRE(std::regex_search(outcome.err, found, std::regex("total +([0-9.]+) MiB")));
  return static_cast<int64_t>(std::stod(found[1]) * 1048576);
}

}  // namespace

TEST_CASE("--estimate-memory: within 15 % of what a run holds beside a started program") {
  const TempFolder temp;
  test::write_tiny_llama(temp / "teacher", {.vocabulary = 4096,
                                            .hidden = 256,
                                            .intermediate = 688,
                                            .layers = 4,
                                            .heads = 8,
                                            .kv_heads = 4,
                                            .scale = 0.02});
  if (anonymous_bytes(getpid()) == 0) {
    std::cout << "skipped: this system does not tell anonymous memory\n";
    return;
  }
  struct Batch {
    int64_t sequences, length;
    const char* recompute;
  };
  int64_t runs = 0;
  for (const Batch& batch : {Batch{1, 128, "full"}, {2, 512, "full"}, {2, 256, "none"}}) {
    const std::string ids = (temp / (std::to_string(++runs) + ".safetensors")).string();
    test::write_tiny_ids(ids, 3 * batch.sequences, batch.length);
    const std::vector<std::string> words = {
        "model.path=" + (temp / "teacher").string(),
        "data.train=[{path: \"" + ids + "\", format: tokens}]",
        "data.sequence_length=" + std::to_string(batch.length),
        "train.micro_batch_size=" + std::to_string(batch.sequences),
        std::string("train.recompute=") + batch.recompute,
        "train.threads=2",
        "train.steps=3",
        "checkpoint.async=false",
        "quant.bits_per_weight=0.55",
        "output.dir=" + (temp / ("run" + std::to_string(runs))).string()};
    std::vector<std::string> start = words;
    start.insert(start.begin(), "--estimate-memory");
    const int64_t estimate = estimate_of(words), peak = peak_of(words) - peak_of(start);
    INFO(batch.sequences << " x " << batch.length << ", recompute " << batch.recompute
                         << ": estimate " << (estimate >> 20) << " MiB, measured " << (peak >> 20)
                         << " MiB");
    CHECK(estimate > peak * 85 / 100);
    CHECK(estimate < peak * 115 / 100);
  }
}

TEST_CASE("--estimate-memory --processes: within 10 % of what each of 1, 2 and 4 processes holds") {
  const TempFolder temp;
  test::write_tiny_llama(temp / "teacher", {.vocabulary = 2048,
                                            .hidden = 512,
                                            .intermediate = 1376,
                                            .layers = 4,
                                            .heads = 8,
                                            .kv_heads = 4,
                                            .scale = 0.02});
  if (anonymous_bytes(getpid()) == 0 || children_of(getppid()).empty()) {
    std::cout << "skipped: this system does not tell anonymous memory, or whose child one is\n";
    return;
  }
  const std::string ids = (temp / "ids.safetensors").string();
  test::write_tiny_ids(ids, 24, 64);
  // Latents that outweigh the rest; more than one micro-batch in each process.
  const auto words = [&](const std::string& run, bool copies) {
    return std::vector<std::string>{"model.path=" + (temp / "teacher").string(),
                                    "data.train=[{path: \"" + ids + "\", format: tokens}]",
                                    "data.sequence_length=64",
                                    "train.micro_batch_size=1",
                                    "train.global_batch_size=8",
                                    "train.threads=1",
                                    "train.steps=3",
                                    "checkpoint.async=" + std::string(copies ? "true" : "false"),
                                    "checkpoint.every=" + std::string(copies ? "1" : "0"),
                                    "quant.bits_per_weight=1",
                                    "output.dir=" + (temp / run).string()};
  };
  std::vector<std::string> start = words("none", false);
  start.insert(start.begin(), "--estimate-memory");
  const int64_t started = peak_of(start);
  std::vector<double> estimates;
  struct Run {
    int64_t processes;
    bool copies;  // what a checkpoint writes, beside the next steps
  };
  for (const auto& [processes, copies] : {Run{1, false}, {2, false}, {4, false}, {2, true}}) {
    const std::string number = std::to_string(processes);
    std::vector<std::string> asked = words("none", copies);
    asked.insert(asked.begin(), {"--estimate-memory", "--json", "--processes", number});
    const test::Outcome outcome = test::run_program("littlebit-train", asked);
    test::require_done(outcome);
    const Json json = parse_json(outcome.out, "estimate");
    // What a copy adds shows where its writing meets the next step: on a busy machine not in every
    // run.
    std::vector<int64_t> peaks;
    for (int64_t turn = 0; turn < (copies ? 3 : 1); ++turn) {
      std::vector<std::string> run =
          words("run" + number + (copies ? "-copies" + std::to_string(turn) : ""), copies);
      run.insert(run.begin(), {"--nproc", number});
      const std::vector<int64_t> once = peaks_of(run);
      REQUIRE(once.size() == static_cast<size_t>(processes));
      peaks.resize(once.size());
      for (size_t rank = 0; rank < once.size(); ++rank) {
        peaks[rank] = std::max(peaks[rank], once[rank]);
      }
    }
    for (size_t rank = 0; rank < peaks.size(); ++rank) {
      const bool is_last = rank > 0 && rank + 1 == peaks.size();
      const double estimate = json.at(is_last ? "total_of_last" : "total").get<double>();
      const auto peak = static_cast<double>(peaks[rank] - started);
      INFO("process " << rank << " of " << processes << (copies ? ", copies" : "") << ": estimate "
                      << estimate / 1048576 << " MiB, measured " << peak / 1048576 << " MiB");
      CHECK(estimate > peak * 0.9);
      CHECK(estimate < peak * 1.1);
    }
    estimates.push_back(json.at("total").get<double>());
  }
  CHECK(estimates[1] < 0.75 * estimates[0]);
  CHECK(estimates[2] < 0.8 * estimates[1]);
}

TEST_CASE("block-wise training on the disk: its memory does not grow with the number of blocks") {
  const TempFolder temp;
  if (anonymous_bytes(getpid()) == 0) {
    std::cout << "skipped: this system does not tell anonymous memory\n";
    return;
  }
  constexpr int64_t kHidden = 256, kInner = 688, kFew = 2, kMany = 12;
  const std::string ids = (temp / "ids.safetensors").string();
  test::write_tiny_ids(ids, 8, 128);
  const auto words = [&](int64_t layers, const std::string& storage) {
    const auto teacher = temp / ("teacher" + std::to_string(layers));
    test::write_tiny_llama(teacher, {.vocabulary = 512,
                                     .hidden = kHidden,
                                     .intermediate = kInner,
                                     .layers = layers,
                                     .heads = 8,
                                     .kv_heads = 4,
                                     .scale = 0.02});
    return std::vector<std::string>{
        "model.path=" + teacher.string(),
        "data.train=[{path: \"" + ids + "\", format: tokens}]",
        "data.sequence_length=128",
        "train.micro_batch_size=1",
        "train.threads=1",
        "train.steps=0",
        "blockwise.sequences=4",
        "blockwise.passes=1",
        "blockwise.storage=" + storage,
        "quant.bits_per_weight=1",
        "checkpoint.every=4",
        "output.dir=" + (temp / (storage + std::to_string(layers))).string()};
  };
  std::vector<std::string> start = words(kFew, "disk");
  start.insert(start.begin(), "--estimate-memory");
  const int64_t started = peak_of(start);
  const auto peak = [&](int64_t layers, const std::string& storage) {
    const int64_t taken = peak_of(words(layers, storage)) - started;
    const int64_t estimate = estimate_of(words(layers, storage));
    INFO(layers << " blocks, " << storage << ": estimate " << (estimate >> 20) << " MiB, measured "
                << (taken >> 20) << " MiB");
    CHECK(estimate > taken * 80 / 100);
    CHECK(estimate < taken * 120 / 100);
    return taken;
  };
  // Weights of the linear layers of a block; at 1 bit about as many latents, of 12 bytes with their
  // moments. What of a block stays: its bits, and its scales with their moments.
  const int64_t weights = 2 * kHidden * kHidden + kHidden * kHidden + 3 * kHidden * kInner;
  const int64_t state = (kMany - kFew) * weights * 12;
  const int64_t few = peak(kFew, "disk"), many = peak(kMany, "disk"), whole = peak(kMany, "memory");
  INFO("2 blocks " << (few >> 20) << " MiB, 12 blocks " << (many >> 20) << " MiB, all in memory "
                   << (whole >> 20) << " MiB; the state of 10 blocks " << (state >> 20) << " MiB");
  CHECK(many - few < state / 6);
  CHECK(whole - many > state / 2);
}
