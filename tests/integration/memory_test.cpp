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
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "integration/outcome.h"
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

// The most that littlebit-train held.
int64_t peak_of(const std::vector<std::string>& words) {
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
  int64_t peak = 0;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    peak = std::max(peak, anonymous_bytes(child));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return peak;
}

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
