// What a run takes for its own and what it leaves alone, and what it keeps when it is stopped or a
// disk fails on the way. Stops come at a place of the run, not at a time: a hook in the file layer
// raises the signal.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "integration/outcome.h"
#include "integration/tiny_scene.h"
#include "integration/wrong_input.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/fault_hook.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/train/run.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

struct Hook {
  explicit Hook(FaultHook hook) { set_fault_hook(std::move(hook)); }
  ~Hook() {
    set_fault_hook(nullptr);
    clear_stop_request();
  }
};

// Raises SIGTERM at the `at`-th operation whose path holds `part`.
FaultHook stop_at(const std::string& operation, const std::string& part, int at) {
  return [=, count = 0](std::string_view name, const fs::path& path) mutable {
    if (name == operation && path.string().find(part) != std::string::npos && ++count == at) {
      raise(SIGTERM);
    }
    return 0;
  };
}

// A run in this process, of four steps unless the words say otherwise.
ExitCode run_here(const TinyScene& scene, const std::string& output,
                  std::vector<std::string> words = {}, Resume resume = Resume::kAuto) {
  install_stop_handlers();
  RunOptions options;
  OptionTree tree;
  options.declare(tree);
  words.insert(words.begin(), {"train.steps=4", "train.threads=1"});
  for (const std::string& word : scene.words(output, words)) tree.set(word);
  options.check(tree);
  tree.finish();
  try {
    return run_training(options, tree, {.resume = resume});
  } catch (const Error& error) {
    WARN(error.what());
    return error.code();
  }
}

std::string state(const TinyScene& scene, const std::string& output, int step) {
  return read_file(scene / output / "checkpoints" / ("step-" + std::to_string(step)) /
                   "state.safetensors");
}

}  // namespace

TEST_CASE("--resume auto chooses its checkpoint when it has the folder, not before") {
  const TinyScene scene;
  REQUIRE(run_here(scene, "run", {"checkpoint.every=1", "checkpoint.keep=0"}) == ExitCode::kDone);
  const fs::path checkpoints = scene / "run" / "checkpoints";
  // The first process is still at step 2 while the second one starts; it is done when the second
  // one gets the lock.
  fs::create_directories(scene / "later");
  for (const char* step : {"step-3", "step-4"}) {
    fs::rename(checkpoints / step, scene / "later" / step);
  }
  {
    const Hook first([&](std::string_view operation, const fs::path& path) {
      const bool locks = path == scene / "run" || path == scene / "run" / ".lock";
      if (operation == "open" && locks && fs::exists(scene / "later" / "step-3")) {
        for (const char* step : {"step-3", "step-4"}) {
          fs::rename(scene / "later" / step, checkpoints / step);
        }
      }
      return 0;
    });
    CHECK(run_here(scene, "run", {"checkpoint.keep=0"}) == ExitCode::kDone);
  }
  for (int step = 1; step <= 4; ++step) {
    CHECK(fs::exists(checkpoints / ("step-" + std::to_string(step)) / "manifest.json"));
  }
}

TEST_CASE("a run that is refused makes nothing; a busy folder ends in 75") {
  const TinyScene scene;
  check_refused(scene.train("none", {"model.path=" + (scene / "nowhere").string()}), 3, {});
  CHECK_FALSE(fs::exists(scene / "none"));
  fs::create_directories(scene / "there");
  check_refused(scene.train("there", {"model.path=" + (scene / "nowhere").string()}), 3, {});
  CHECK(fs::is_empty(scene / "there"));
  write_file(scene / "there" / ".lock", "");
  const std::string lock = shell_quoted((scene / "there" / ".lock").string());
  check_refused(scene.train("there", {}, "flock --nonblock " + lock), 75, {"another process"});
  check_refused(
      scene.train("there", {}, "flock --nonblock " + shell_quoted((scene / "there").string())), 75,
      {"another process"});
  require_done(scene.train("there", {"train.steps=1"}));
}

TEST_CASE("event files of others stay, with log.tensorboard=false too") {
  const TinyScene scene;
  const fs::path events = scene / "run" / "tensorboard";
  const std::vector<std::string> names = {"notes-about-tfevents.txt",
                                          "events.out.tfevents.1700000000.myhost.123.0",
                                          "events.out.tfevents.1700000000.0"};
  fs::create_directories(events);
  for (const std::string& name : names) write_file(events / name, "precious");
  for (const char* flag : {"log.tensorboard=true", "log.tensorboard=false"}) {
    require_done(scene.train("run", {"train.steps=1", flag, "--resume", "auto"}));
    for (const std::string& name : names) CHECK(read_file(events / name) == "precious");
  }
}

TEST_CASE("what stands where a checkpoint or an export will be written is told before training") {
  const TinyScene scene;
  const auto put = [&](const std::string& run, const std::string& name) {
    fs::create_directories((scene / run / name).parent_path());
    write_file(scene / run / name, "precious");
    const Outcome refused =
        scene.train(run, {"train.steps=2", "checkpoint.every=1", "--resume", "auto"});
    check_refused(refused, 5, {"not made by this program", "move it away"});
    CHECK_FALSE(fs::exists(scene / run / "metrics.jsonl"));
    CHECK(read_file(scene / run / name) == "precious");
  };
  put("a", "checkpoints/step-1.partial/thesis.txt");
  put("b", "checkpoints/best");
  put("c", "export/packed.partial/thesis.txt");
  fs::create_directories(scene / "victim");
  write_file(scene / "victim" / "thesis.txt", "precious");
  fs::create_directories(scene / "d" / "checkpoints");
  fs::create_directory_symlink(scene / "victim", scene / "d" / "checkpoints" / "step-2.partial");
  check_refused(scene.train("d", {"train.steps=2", "--resume", "auto"}), 5, {"step-2.partial"});
  CHECK(read_file(scene / "victim" / "thesis.txt") == "precious");
  // What is not in the way stays without a word too many.
  fs::create_directories(scene / "e" / "checkpoints" / "step-9.partial");
  write_file(scene / "e" / "checkpoints" / "step-9.partial" / "thesis.txt", "precious");
  const Outcome done = scene.train("e", {"train.steps=2", "--resume", "auto"});
  require_done(done);
  CHECK_THAT(done.err,
             Contains("step-9.partial was not made by this program and is left in place"));
  CHECK(read_file(scene / "e" / "checkpoints" / "step-9.partial" / "thesis.txt") == "precious");
}

TEST_CASE("a report.html beside a log.txt of somebody else's is not a run") {
  const TinyScene scene;
  fs::create_directories(scene / "mine");
  write_file(scene / "mine" / "log.txt", "my day\n");
  write_file(scene / "mine" / "report.html", "my report\n");
  check_refused(scene.train("mine", {"--resume", "auto"}), 2,
                {"report.html that this program did not write"});
  CHECK(read_file(scene / "mine" / "report.html") == "my report\n");
  CHECK(read_file(scene / "mine" / "log.txt") == "my day\n");
}

TEST_CASE(
    "a checkpoint on the way that cannot be written is a warning; the last one ends the run") {
  const TinyScene scene;
  REQUIRE(run_here(scene, "whole") == ExitCode::kDone);
  for (const auto& [step, code] : {std::pair{"step-2.partial", ExitCode::kDone},
                                   std::pair{"step-4.partial", ExitCode::kOutput}}) {
    const std::string run = "run" + std::to_string(static_cast<int>(code));
    const Hook full([&](std::string_view operation, const fs::path& path) {
      return operation == "write" && path.string().find(step) != std::string::npos ? ENOSPC : 0;
    });
    CHECK(run_here(scene, run, {"checkpoint.every=1", "checkpoint.keep=0"}) == code);
    CHECK(fs::exists(scene / run / "checkpoints" / "step-3" / "manifest.json"));
    CHECK_FALSE(fs::exists(scene / run / "checkpoints" / step));
  }
  CHECK(state(scene, "run0", 4) == state(scene, "whole", 4));
}

TEST_CASE("a stop while factorising keeps the layers; the next start goes on from them") {
  const TinyScene scene;
  const std::string cache = "quant.cache_dir=" + (scene / "factors").string();
  REQUIRE(run_here(scene, "whole") == ExitCode::kDone);
  for (const auto& [run, words] : {std::pair{"own", std::vector<std::string>{}},
                                   std::pair{"shared", std::vector<std::string>{cache}}}) {
    INFO(run);
    {
      const Hook hook(stop_at("rename", ".layers", 5));
      CHECK(run_here(scene, run, words) == ExitCode::kStopped);
    }
    int made = 0;  // as a killed run leaves them, too: nothing is done about them on the way out
    const fs::path folder = words.empty() ? scene / run / "cache" : scene / "factors";
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      made += entry.path().extension() == ".safetensors";
    }
    CHECK(made == 5);
    const auto layers = fs::directory_iterator(folder)->path();
    // One is damaged, one was being written: both are made anew.
    const auto damaged =
        std::find_if(fs::directory_iterator(layers), fs::directory_iterator(),
                     [](const auto& entry) { return entry.path().extension() == ".safetensors"; });
    fs::resize_file(damaged->path(), fs::file_size(damaged->path()) - 1);
    int written = 0;
    {
      const Hook counting([&](std::string_view operation, const fs::path& path) {
        written += operation == "rename" && path.string().find(".layers") != std::string::npos;
        return 0;
      });
      CHECK(run_here(scene, run, words) == ExitCode::kDone);
    }
    CHECK(written == 14 - 4);
    CHECK(state(scene, run, 4) == state(scene, "whole", 4));
    CHECK_FALSE(fs::exists(layers));
    CHECK(fs::exists(scene / run / "cache") == false);
  }
}

TEST_CASE("a stop comes between micro-batches: the state is that of the last whole step") {
  const TinyScene scene;
  // A step of many micro-batches takes long beside the moment after which the stop comes.
  const std::vector<std::string> words = {"train.steps=2", "train.global_batch_size=150",
                                          "train.micro_batch_size=1"};
  REQUIRE(run_here(scene, "whole", words) == ExitCode::kDone);
  {
    std::jthread soon;
    const Hook hook([&](std::string_view operation, const fs::path& path) {
      if (operation == "write" && path.filename() == "metrics.jsonl") {
        soon = std::jthread([] {
          std::this_thread::sleep_for(std::chrono::milliseconds(20));
          kill(getpid(), SIGTERM);
        });
      }
      return 0;
    });
    CHECK(run_here(scene, "run", words) == ExitCode::kStopped);
  }
  CHECK(fs::exists(scene / "run" / "checkpoints" / "step-1"));
  CHECK_FALSE(fs::exists(scene / "run" / "checkpoints" / "step-2"));
  CHECK(run_here(scene, "run", words) == ExitCode::kDone);
  CHECK(state(scene, "run", 2) == state(scene, "whole", 2));
}

TEST_CASE("a stop during a score, in the loop or after it: saved, and resumed to the same bytes") {
  const TinyScene scene;
  write_tiny_llama(scene / "teacher", {.vocabulary = 512, .layers = 1});
  const fs::path tokenizer = fs::path(kSourceDir) / "tests" / "golden" / "stories260k";
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) {
    fs::copy_file(tokenizer / name, scene / "teacher" / name);
  }
  write_file(scene / "mine.txt", "The quick brown fox jumps over the lazy dog. The lazy dog.");
  const std::vector<std::string> scored = {"eval.text=" + (scene / "mine.txt").string(),
                                           "eval.sequence_length=8", "eval.every=2"};
  REQUIRE(run_here(scene, "whole", scored) == ExitCode::kDone);
  for (const int line : {2, 4}) {  // before the score of step 2, and before the last one
    const std::string run = "run" + std::to_string(line);
    {
      const Hook hook(stop_at("write", "metrics.jsonl", line));
      CHECK(run_here(scene, run, scored) == ExitCode::kStopped);
    }
    CHECK(fs::exists(scene / run / "checkpoints" / ("step-" + std::to_string(line))));
    CHECK_FALSE(fs::exists(scene / run / "export"));
    CHECK(run_here(scene, run, scored) == ExitCode::kDone);
    CHECK(state(scene, run, 4) == state(scene, "whole", 4));
    const auto perplexities = [&](const std::string& name) {
      std::vector<double> values;
      for (const Json& score : read_json_file(scene / name / "run.json").at("scores")) {
        values.push_back(score.at("perplexity").get<double>());
      }
      return values;
    };
    CHECK(perplexities(run) == perplexities("whole"));
  }
}

TEST_CASE("a bf16 run is stopped, resumed and exported; under another type it is refused") {
  const TinyScene scene;
  const std::string bf16 = "train.dtype=bf16";
  require_done(scene.train("whole", {"train.steps=6", bf16}));
  require_done(scene.train("run", {"train.steps=6", bf16, "train.stop_after=3"}));
  check_refused(scene.train("run", {"train.steps=6", "train.dtype=fp32", "--resume", "auto"}), 2,
                {"train.dtype was bf16, is fp32"});
  check_refused(scene.train("run", {"train.steps=6", bf16, "--resume", "auto", "--resume-with",
                                    "train.dtype=fp32"}),
                2, {"cannot be changed in a run"});
  require_done(scene.train("run", {"train.steps=6", bf16, "--resume", "auto"}));
  CHECK(state(scene, "run", 6) == state(scene, "whole", 6));
  const auto packed = [&](const std::string& folder) {
    return read_file(scene / folder / "model.safetensors");
  };
  CHECK(packed("run/export/packed") == packed("whole/export/packed"));
  require_done(
      run_program("littlebit-train", {"export", (scene / "run" / "checkpoints" / "step-6").string(),
                                      "--output", (scene / "again").string()}));
  CHECK(packed("again") == packed("run/export/packed"));
  // Master weights are fp32, and training in bf16 is not training in fp32.
  require_done(scene.train("fp32", {"train.steps=6"}));
  CHECK(state(scene, "fp32", 6) != state(scene, "whole", 6));
}

TEST_CASE("numbers gone bad: what the hint says leads out of it, and is recorded") {
  const TinyScene scene;
  const std::vector<std::string> wild = {"optim.max_grad_norm=0", "optim.warmup_ratio=0.5",
                                         "distill.hidden_weight=1e9", "checkpoint.every=1",
                                         "checkpoint.keep=0"};
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.end(), wild.begin(), wild.end());
    return words;
  };
  const Outcome bad = scene.train("run", with({"optim.learning_rate=1e6"}));
  check_refused(bad, 4, {"not finite", "--resume-with optim.learning_rate=RATE"});
  const size_t at = bad.err.find("--resume ") + std::string("--resume ").size();
  const std::string checkpoint = bad.err.substr(at, bad.err.find(' ', at) - at);
  REQUIRE(fs::exists(fs::path(checkpoint) / "manifest.json"));
  check_refused(scene.train("run", with({"--resume", checkpoint, "optim.learning_rate=1e-4"})), 2,
                {"--resume-with optim.learning_rate"});
  const Outcome out = scene.train(
      "run", with({"--resume", checkpoint, "--resume-with", "optim.learning_rate=1e-4"}));
  require_done(out);
  CHECK_THAT(out.err, Contains("optim.learning_rate is 1e-4 (it was 1e6)"));
  const Json run = read_json_file(scene / "run" / "run.json");
  REQUIRE(run.at("changes").size() == 1);
  CHECK(run.at("changes")[0].at("key") == "optim.learning_rate");
  const Json manifest = read_json_file(scene / "run" / "checkpoints" / "step-20" / "manifest.json");
  CHECK(manifest.at("changes") == run.at("changes"));
  CHECK(manifest.at("trajectory").at("optim.learning_rate") == "1e-4");
  // From then on the new rate is the run's.
  require_done(scene.train("run", with({"--resume", "auto", "optim.learning_rate=1e-4"})));
  check_refused(scene.train("run", with({"--resume", "auto", "optim.learning_rate=1e6"})), 2,
                {"optim.learning_rate was 1e-4"});
  check_refused(scene.train("x", {"--resume-with", "optim.learning_rate=1"}), 2, {"--resume auto"});
  check_refused(scene.train("x", {"--resume", "auto", "--resume-with", "train.seed=1"}), 2,
                {"cannot be changed", "optim.learning_rate"});
}

}  // namespace littlebit::test
