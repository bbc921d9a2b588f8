// littlebit-train as a user runs it: what it prints about its options, and how it ends on wrong
// options, missing or damaged input, places it cannot write to, numbers gone bad.
#include <catch2/catch.hpp>

#include "integration/outcome.h"
#include "integration/tiny_scene.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "support/paths.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using littlebit::test::check_outcome;
using littlebit::test::check_refused;
using littlebit::test::Outcome;
using littlebit::test::require_done;
using Scene = littlebit::test::TinyScene;
namespace fs = std::filesystem;

TEST_CASE(
    "--print-config shows every value's origin; --help and the references list every option") {
  const Outcome printed =
      test::run_program("littlebit-train", {"--print-config", "optim.learning_rate=3e-3"});
  require_done(printed);
  CHECK_THAT(printed.out, Contains("learning_rate: 0.003  # command line") ||
                              Contains("learning_rate: 0.003 # command line"));
  CHECK_THAT(printed.out, Contains("# default"));
  const Outcome help = test::run_program("littlebit-train", {"--help"});
  require_done(help);
  CHECK_THAT(help.out, Contains("quant.bits_per_weight"));
  const fs::path source = littlebit::test::kSourceDir;
  CHECK(test::run_program("littlebit-train", {"--print-reference", "markdown"}).out ==
        read_file(source / "docs" / "config.md"));
  CHECK(test::run_program("littlebit-train", {"--print-reference", "yaml"}).out ==
        read_file(source / "configs" / "reference.yaml"));
}

TEST_CASE("wrong configuration ends in exit 2, all mistakes at once, nothing written") {
  const Scene scene;
  check_refused(
      scene.train("x", {"optim.learning_rat=1", "train.steps=abc", "quant.surrogate=tanh"}), 2,
      {"optim.learning_rate", "train.steps", "smooth_sign"});
  check_refused(scene.train("x", {"train.epochs=2"}), 2, {"train.epochs"});
  check_refused(scene.train("x", {"train.steps=9223372036854775807",
                                  "train.stop_after=2000000000000000000", "--check"}),
                2, {"train.steps", "train.stop_after"});
  check_refused(scene.train("x", {"train.steps=1000000000000", "train.global_batch_size=16777216",
                                  "data.sequence_length=1048576", "--check"}),
                2, {"train.steps", "2^62 tokens"});
  check_outcome(scene.train("x", {"train.steps=1000000000000", "--check"}), 0,
                {"1,000,000,000,000 steps", "64,000,000,000,000 in all"});
  check_refused(scene.train("x", {"quant.min_rank=33"}), 2, {"k_proj", "min_rank"});
  check_refused(scene.train("x", {"quant.init=file"}), 2, {"quant.init_file"});
  check_refused(scene.train("x", {"eval.tasks=[wikitext]"}), 2, {"wikitext2"});
  check_refused(scene.train("x", {"train.device=cuda"}), 2, {"cuda"});
  check_refused(scene.train("x", {"--nonsense"}), 2, {});
  CHECK_FALSE(fs::exists(scene / "x"));
}

TEST_CASE("missing and damaged input ends in exit 3") {
  const Scene scene;
  check_refused(scene.train("x", {"model.path=" + (scene / "nowhere").string()}), 3, {"nowhere"});
  check_refused(scene.train("x", {"data.train=[{path: /nonexistent/text.txt, format: tokens}]"}), 3,
                {"text.txt"});
  check_refused(scene.train("x1", {"--resume", (scene / "nowhere").string()}), 3, {"nowhere"});

  fs::create_directories(scene / "nan");
  fs::copy(scene / "teacher" / "config.json", scene / "nan" / "config.json");
  std::string bytes = read_file(scene / "teacher" / "model.safetensors");
  for (int i = 1; i <= 4; ++i)
    bytes[bytes.size() - static_cast<size_t>(i)] = static_cast<char>(0xff);
  write_file(scene / "nan" / "model.safetensors", bytes);
  check_refused(scene.train("x2", {"model.path=" + (scene / "nan").string()}), 3,
                {"lm_head.weight"});

  write_file(scene / "nan" / "model.safetensors",
             std::string_view(bytes).substr(0, bytes.size() / 2));
  check_refused(scene.train("x3", {"model.path=" + (scene / "nan").string()}), 3,
                {"model.safetensors"});
}

TEST_CASE(
    "a used output.dir is refused and left alone; other settings do not resume; outputs that "
    "cannot be written exit 5") {
  const Scene scene;
  require_done(scene.train("run", {"train.steps=6", "train.stop_after=2"}));
  const std::string before = read_file(scene / "run" / "metrics.jsonl");
  check_refused(scene.train("run", {"train.steps=6"}), 2, {"--resume auto"});
  check_refused(scene.train("run", {"train.steps=6", "optim.beta1=0.8", "--resume", "auto"}), 2,
                {"optim.beta1"});
  check_refused(
      scene.train("run", {"train.steps=6", "quant.bits_per_weight=0.7", "--resume", "auto"}), 2,
      {"quant.bits_per_weight"});
  check_refused(scene.train("run", {"train.steps=6", "data.shuffle=false", "quant.surrogate=ste",
                                    "optim.schedule=linear", "--resume", "auto"}),
                2,
                {"data.shuffle was true, is false", "quant.surrogate was smooth_sign, is ste",
                 "optim.schedule was cosine, is linear"});
  // --check refuses as the run would, and says what it would go on from.
  const std::string checkpoint = (scene / "run" / "checkpoints" / "step-2").string();
  for (const std::string& resume : {std::string("auto"), checkpoint}) {
    check_refused(
        scene.train("run", {"train.steps=7", "optim.beta1=0.8", "--resume", resume, "--check"}), 2,
        {"optim.beta1 was 0.9, is 0.8", "train.steps was 6, is 7"});
    check_outcome(scene.train("run", {"train.steps=6", "--resume", resume, "--check"}), 0,
                  {"continue from step 2", "not checked: whether the training text"});
  }
  test::write_tiny_llama(scene / "other", {.seed = 5});
  check_refused(scene.train("run", {"train.steps=6", "model.path=" + (scene / "other").string(),
                                    "--resume", "auto", "--check"}),
                2, {"model.path (content)"});
  CHECK(read_file(scene / "run" / "metrics.jsonl") == before);

  write_file(scene / "file", "x");
  check_refused(scene.train("file/run"), 5, {"file"});

  // Nothing of a run that another process works on is touched, its log neither.
  fs::create_directories(scene / "busy");
  write_file(scene / "busy" / "log.txt", "of the first\n");
  check_refused(scene.train("busy", {}, "flock --nonblock " + (scene / "busy").string()), 75,
                {"busy"});
  CHECK(read_file(scene / "busy" / "log.txt") == "of the first\n");

  // Files may grow to 64 KiB: the checkpoint does not fit.
  check_refused(scene.train("full", {}, "ulimit -f 64;"), 5, {"step-20"});
  CHECK_FALSE(fs::exists(scene / "full" / "checkpoints" / "step-20"));
}

TEST_CASE(
    "a loss that is not finite stops before the update with exit 4; the last checkpoint stays") {
  const Scene scene;
  const Outcome outcome = scene.train(
      "run", {"optim.learning_rate=1e6", "optim.max_grad_norm=0", "optim.warmup_ratio=0",
              "checkpoint.every=1", "checkpoint.keep=0", "distill.hidden_weight=1e9"});
  if (outcome.code != 0) {
    check_refused(outcome, 4, {"not finite"});
    CHECK(fs::exists(scene / "run" / "checkpoints" / "step-1" / "manifest.json"));
  } else {
    FAIL("the run was expected to diverge: " << outcome.err);
  }
}
