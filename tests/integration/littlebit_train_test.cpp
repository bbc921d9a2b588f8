// littlebit-train as a user runs it: exact resume, signals, what a run's folder holds.
#include <ATen/ATen.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "integration/outcome.h"
#include "integration/tiny_scene.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "littlebit/nn/tensor_io.h"
#include "support/paths.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using littlebit::test::check_refused;
using littlebit::test::Outcome;
using littlebit::test::require_done;
using Scene = littlebit::test::TinyScene;
namespace fs = std::filesystem;

namespace {

void check_same_results(const Scene& scene, const std::string& a, const std::string& b) {
  for (const char* file : {"checkpoints/step-20/state.safetensors",
                           "checkpoints/step-20/manifest.json", "export/packed/model.safetensors",
                           "export/packed/config.json", "export/packed/littlebit_config.json"}) {
    INFO(file);
    CHECK(read_file(scene / a / file) == read_file(scene / b / file));
  }
  // metrics.jsonl: the same numbers, apart from times.
  std::ifstream x(scene / a / "metrics.jsonl"), y(scene / b / "metrics.jsonl");
  int lines = 0;
  for (std::string p, q; std::getline(x, p) && std::getline(y, q); ++lines) {
    const Json left = parse_json(p, a), right = parse_json(q, b);
    for (const char* key : {"step", "loss", "loss_kl", "loss_hidden", "learning_rate", "grad_norm",
                            "sign_flip_fraction", "tokens"}) {
      CHECK(left.at(key) == right.at(key));
    }
  }
  CHECK(lines == 20);
}

}  // namespace

TEST_CASE(
    "20 steps = stop + resume, the same bytes: in mid-epoch, on an epoch's border, with "
    "checkpoints between") {
  const Scene scene;
  require_done(scene.train("whole"));
  for (const char* stop : {"10", "9"}) {
    const std::string name = std::string("parts") + stop;
    const Outcome stopped = scene.train(name, {std::string("train.stop_after=") + stop});
    require_done(stopped);
    for (const char* file : {"report.html", "run.json", "metrics.jsonl", "checkpoints"}) {
      CHECK_THAT(stopped.err, Contains("\n  " + (scene / name / file).string() + "\n"));
    }
    CHECK(
        fs::exists(scene / name / "checkpoints" / (std::string("step-") + stop) / "manifest.json"));
    CHECK_FALSE(fs::exists(scene / name / "export"));
    require_done(scene.train(name, {"--resume", "auto", "checkpoint.every=4"}));
    check_same_results(scene, "whole", name);
  }
}

TEST_CASE("two fresh runs of several threads give the same bytes") {
  const Scene scene;
  // Large enough for the threads to share its matrices, and its head's many logits.
  test::write_tiny_llama(scene / "teacher",
                         {.vocabulary = 2048, .hidden = 128, .intermediate = 352});
  test::write_tiny_ids(scene / "tokens.safetensors", 12, 64);
  for (const char* name : {"first", "second"}) {
    require_done(scene.train(name, {"train.threads=2", "data.sequence_length=64"}));
  }
  check_same_results(scene, "first", "second");
}

TEST_CASE("scores of any task while training; the best checkpoint stays, over a resume too") {
  const Scene scene;
  const fs::path teacher = scene / "teacher";
  test::write_tiny_llama(teacher, {.vocabulary = 4096});
  const fs::path shipped = fs::path(test::kSourceDir) / "data" / "wiki-llama-5m";
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) {
    fs::copy_file(shipped / name, teacher / name);
  }
  fs::create_directories(scene / "data");
  std::string lines;
  for (const char* label : {"0", "1", "1", "0"}) {
    lines += std::string(R"({"question": "is it", "passage": "It is.", "label": )") + label + "}\n";
  }
  write_file(scene / "data" / "boolq.jsonl", lines);
  write_file(scene / "mine.txt", "The quick brown fox jumps over the lazy dog. The lazy dog.");
  const std::vector<std::string> scored = {"eval.tasks=[text, boolq]",
                                           "eval.text=" + (scene / "mine.txt").string(),
                                           "eval.data_root=" + (scene / "data").string(),
                                           "eval.sequence_length=8",
                                           "eval.limit=3",
                                           "eval.every=2",
                                           "train.steps=10",
                                           "checkpoint.keep=1"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), scored.begin(), scored.end());
    return more;
  };
  require_done(scene.train("whole", with({})));
  const Json run = read_json_file(scene / "whole" / "run.json");
  CHECK(run.at("scores").size() == 2 * (2 + 5));  // teacher, start, steps 2, 4, 6, 8, 10
  for (const char* key : {"teacher_perplexity", "teacher_acc", "initial_perplexity", "initial_acc",
                          "final_perplexity", "final_acc"}) {
    CHECK(run.at("summary").at(key).is_number());
  }
  const Json* best = nullptr;
  for (const Json& score : run.at("scores")) {
    if (score.at("task") == "boolq") CHECK(score.at("documents") == 3);
    if (score.at("task") != "text" || score.at("step") == 0) continue;
    if (best == nullptr || score.at("perplexity") < best->at("perplexity")) best = &score;
  }
  REQUIRE(best != nullptr);
  CHECK(run.at("best") == Json({{"step", best->at("step")},
                                {"task", "text"},
                                {"metric", "perplexity"},
                                {"value", best->at("perplexity")}}));
  const std::string name = "step-" + std::to_string(best->at("step").get<int64_t>());
  CHECK(read_file(scene / "whole" / "checkpoints" / "best") == name + "\n");
  CHECK(fs::exists(scene / "whole" / "checkpoints" / name / "manifest.json"));
  const std::string page = read_file(scene / "whole" / "report.html");
  CHECK_THAT(page, Contains("Accuracy of the student") && Contains("Perplexity of the student") &&
                       Contains("Best: "));

  require_done(scene.train("parts", with({"train.stop_after=5"})));
  require_done(scene.train("parts", with({"--resume", "auto"})));
  const Json again = read_json_file(scene / "parts" / "run.json");
  CHECK(again.at("best") == run.at("best"));
  CHECK(again.at("scores").size() == run.at("scores").size());
  CHECK(read_file(scene / "parts" / "checkpoints" / "best") == name + "\n");
  for (const char* step : {"step-10", name.c_str()}) {
    const fs::path state = fs::path("checkpoints") / step / "state.safetensors";
    CHECK(read_file(scene / "parts" / state) == read_file(scene / "whole" / state));
  }

  // Every metric becomes a curve, those of other tasks too.
  require_done(
      scene.train("rolling", {"eval.tasks=[rolling]", "eval.text=" + (scene / "mine.txt").string(),
                              "eval.sequence_length=8", "train.steps=2"}));
  std::string events;
  for (const auto& entry : fs::directory_iterator(scene / "rolling" / "tensorboard")) {
    events += read_file(entry.path());
  }
  CHECK_THAT(events,
             Contains("eval/rolling/word_perplexity") && Contains("teacher/rolling/bits_per_byte"));
}

TEST_CASE(
    "--resume auto passes over damaged checkpoints, and does not start afresh where all are") {
  const Scene scene;
  require_done(scene.train("whole"));
  const auto state = [&](const char* step) {
    return scene / "run" / "checkpoints" / step / "state.safetensors";
  };
  require_done(
      scene.train("run", {"train.stop_after=12", "checkpoint.every=4", "checkpoint.keep=0"}));
  fs::resize_file(state("step-12"), 1000);  // truncated
  std::string bytes = read_file(state("step-8"));
  bytes[bytes.size() - 5] ^= 1;  // one bit of the data
  write_file(state("step-8"), bytes);
  const Outcome resumed = scene.train("run", {"--resume", "auto"});
  require_done(resumed);
  CHECK_THAT(resumed.err, Contains("step-4"));
  check_same_results(scene, "whole", "run");

  CHECK_FALSE(fs::exists(
      state("step-12")));  // written anew or removed, never left damaged beside newer ones

  require_done(scene.train("lost", {"train.stop_after=3"}));
  fs::resize_file(scene / "lost" / "checkpoints" / "step-3" / "state.safetensors", 1000);
  check_refused(scene.train("lost", {"--resume", "auto"}), 3, {"step-3"});
}

TEST_CASE(
    "a start that failed leaves nothing in the way; a run that died before its first checkpoint "
    "starts afresh") {
  const Scene scene;
  check_refused(scene.train("run", {"data.train=[{path: " + (scene / "none.txt").string() +
                                    ", format: tokens}]"}),
                3, {"none.txt"});
  require_done(scene.train("run", {"train.steps=3"}));

  fs::create_directories(scene / "died");
  write_file(scene / "died" / "log.txt", "");
  write_file(scene / "died" / "metrics.jsonl",
             "{\"step\": 1, \"loss\": 5}\n{\"step\": 2, \"loss\": 4}\n");
  require_done(scene.train("died", {"train.steps=3", "--resume", "auto"}));
  std::ifstream metrics(scene / "died" / "metrics.jsonl");
  int lines = 0;
  for (std::string line; std::getline(metrics, line);) ++lines;
  CHECK(lines == 3);
}

TEST_CASE("moments in fewer bits: stopped and gone on with, the same bytes; no other type then") {
  const Scene scene;
  for (const std::string moments : {"bf16", "int8"}) {
    const std::string option = "optim.moments=" + moments, run = "run-" + moments;
    require_done(scene.train("whole-" + moments, {option}));
    require_done(scene.train(run, {option, "train.stop_after=7"}));
    require_done(scene.train(run, {option, "--resume", "auto", "optim.state_device=cpu"}));
    check_same_results(scene, "whole-" + moments, run);
    check_refused(scene.train(run, {"--resume", "auto"}), 2,
                  {"optim.moments was " + moments + ", is fp32"});
    check_refused(
        scene.train(run, {option, "--resume", "auto", "--resume-with", "optim.moments=fp32"}), 2,
        {"optim.moments", "cannot be changed in a run"});
  }
}

TEST_CASE("--resume DIR goes on from an older checkpoint; a refused resume changes nothing") {
  const Scene scene;
  require_done(scene.train("whole"));
  require_done(scene.train("run", {"checkpoint.every=5", "checkpoint.keep=0"}));
  const std::string config = read_file(scene / "run" / "config.yaml");
  check_refused(scene.train("run", {"--resume", "auto", "optim.beta1=0.5"}), 2, {"optim.beta1"});
  CHECK(read_file(scene / "run" / "config.yaml") == config);
  check_refused(scene.train("run", {"--resume", "auto", "quant.residual=false"}), 2,
                {"quant.residual"});
  require_done(
      scene.train("run", {"--resume", (scene / "run" / "checkpoints" / "step-5").string()}));
  check_same_results(scene, "whole", "run");

  // Into another folder: a run of its own.
  require_done(
      scene.train("branch", {"--resume", (scene / "run" / "checkpoints" / "step-5").string()}));
  CHECK(read_file(scene / "branch" / "checkpoints" / "step-20" / "state.safetensors") ==
        read_file(scene / "whole" / "checkpoints" / "step-20" / "state.safetensors"));
  // A packed export is no teacher.
  check_refused(
      scene.train("x", {"model.path=" + (scene / "whole" / "export" / "packed").string()}), 3,
      {"packed LittleBit model"});
}

TEST_CASE("a run goes on under other values of every kind of option that decides nothing") {
  const Scene scene;
  require_done(scene.train("run", {"train.stop_after=10"}));
  require_done(scene.train(
      "run", {"--resume", "auto", "train.threads=1", "train.micro_batch_size=2",
              "train.recompute=none", "train.device=cpu", "checkpoint.every=7", "checkpoint.keep=0",
              "log.every=3", "log.tensorboard=false", "eval.batch_size=2", "export.formats=[]",
              "quant.init=joint_itq", "quant.svd_oversampling=3", "quant.svd_power_iterations=0",
              "quant.itq_iterations=7", "quant.cache_dir=" + (scene / "factors").string()}));
  CHECK(read_json_file(scene / "run" / "run.json").at("step") == 20);
}

TEST_CASE("an export tells the settings that its checkpoint holds, whatever the caller's are") {
  const Scene scene;
  require_done(scene.train("run", {"quant.surrogate=ste", "train.steps=2"}));
  const fs::path checkpoint = scene / "run" / "checkpoints" / "step-2";
  const auto exported = [&](const std::string& output) {
    return test::run_program(
        "littlebit-train",
        {"export", checkpoint.string(), "--output", (scene / output).string(),
         "export.formats=[packed]", "quant.surrogate=smooth_sign", "quant.bits_per_weight=0.9"});
  };
  require_done(exported("packed"));
  const Json about = read_json_file(scene / "packed" / "littlebit_config.json");
  CHECK(about == read_json_file(scene / "run" / "export" / "packed" / "littlebit_config.json"));
  CHECK_THAT(read_file(scene / "packed" / "littlebit_config.json"), Contains("STEBinary"));

  const Json manifest = read_json_file(checkpoint / "manifest.json");
  const auto write = [&](const std::function<void(Json & settings)>& change) {
    Json changed = manifest;
    change(changed["trajectory"]);
    write_file(checkpoint / "manifest.json", to_json_pretty(changed));
  };
  write([](Json& settings) { settings["quant.surrogate"] = "1"; });
  check_refused(exported("x"), 3, {"step-2", "quant.surrogate", "smooth_sign"});
  write([](Json& settings) { settings["quant.kv_factor"] = "-1"; });
  check_refused(exported("x"), 3, {"quant.kv_factor"});
  write([](Json& settings) { settings.erase("quant.min_rank"); });
  check_refused(exported("x"), 3, {"quant.min_rank"});
  CHECK_FALSE(fs::exists(scene / "x" / "model.safetensors"));
  check_refused(scene.train("run", {"quant.surrogate=ste", "train.steps=2", "--resume", "auto"}), 2,
                {"quant.min_rank is not in the checkpoint"});
}

namespace {

// Starts a run, sends SIGTERM after its first step, and gives its exit code.
int stop_after_first_step(const Scene& scene, const std::string& name) {
  std::vector<std::string> arguments = scene.words(name, {"train.threads=1"});
  const std::string program = std::string(littlebit::test::kBinaryDir) + "/bin/littlebit-train";
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const std::string log = (scene / "log").string();
    if (!freopen(log.c_str(), "w", stderr)) _exit(99);
    execv(argv[0], argv.data());
    _exit(98);
  }
  const fs::path metrics = scene / name / "metrics.jsonl";
  for (int i = 0; i < 60000; ++i) {
    std::error_code not_yet;
    if (fs::file_size(metrics, not_yet) > 0 && !not_yet) break;
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  kill(child, SIGTERM);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  INFO(read_file(scene / "log"));
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("SIGTERM saves at a step border and exits 143; --resume auto goes on to the same bytes") {
  const Scene scene;
  require_done(scene.train("whole", {"train.threads=1"}));
  // On a busy machine the 20 short steps can be over before the signal is sent: then once more.
  std::string name;
  int code = 0;
  for (int attempt = 0; attempt < 20 && code == 0; ++attempt) {
    name = "stopped" + std::to_string(attempt);
    code = stop_after_first_step(scene, name);
  }
  CHECK(code == 143);
  require_done(scene.train(name, {"--resume", "auto", "train.threads=1"}));
  check_same_results(scene, "whole", name);
}

TEST_CASE(
    "a run's folder: configuration that can be run again, metrics, factorisation, report, "
    "exports") {
  const Scene scene;
  require_done(
      scene.train("run", {"train.steps=4", "export.formats=[packed,dense]", "log.every=2"}));
  const fs::path run = scene / "run";
  const Json json = read_json_file(run / "run.json");
  CHECK(json.at("step") == 4);
  CHECK(json.at("summary").at("bytes").at("packed").at("total").get<int64_t>() > 0);
  std::ifstream metrics(run / "metrics.jsonl"), layers(run / "factorization.jsonl");
  std::string line;
  REQUIRE(std::getline(metrics, line));
  const Json first = parse_json(line, "metrics");
  CHECK(first.at("step") == 2);
  CHECK(first.at("loss").get<double>() ==
        Approx(first.at("loss_kl").get<double>() + first.at("loss_hidden").get<double>()));
  CHECK(first.at("tokens") == 2 * 4 * 16);
  int count = 0;
  while (std::getline(layers, line)) ++count;
  CHECK(count == 14);
  CHECK_THAT(read_file(run / "report.html"), Contains("<svg"));
  CHECK(fs::exists(run / "export" / "dense" / "config.json"));

  // The resolved configuration is a configuration.
  const Outcome again =
      test::run_program("littlebit-train", {"--config", (run / "config.yaml").string(), "--check",
                                            "output.dir=" + (scene / "other").string()});
  require_done(again);
  CHECK_FALSE(fs::exists(scene / "other"));
  CHECK_THAT(again.err, Contains("bits per weight"));

  // A packed export starts another training: its own ranks and paths.
  require_done(scene.train(
      "second", {"quant.init=file", "quant.init_file=" + (run / "export" / "packed").string(),
                 "train.steps=2"}));
}

TEST_CASE("start factors are found again under all settings that their start does not depend on") {
  const Scene scene;
  size_t known = 0;
  // Whether they had to be made; then a file is new.
  const auto are_made = [&](std::vector<std::string> words) {
    words.insert(words.end(),
                 {"--factorize-only", "quant.cache_dir=" + (scene / "cache").string()});
    const Outcome out = scene.train("x", words);
    require_done(out);
    size_t files = 0;
    for (const auto& entry : fs::directory_iterator(scene / "cache")) files += entry.exists();
    const bool made = out.err.find("initial factors from") == std::string::npos;
    CHECK((files > known) == made);
    known = files;
    return made;
  };
  CHECK(are_made({}));
  CHECK_FALSE(are_made({}));
  // Another start's option, and what decides the run, not its start.
  CHECK_FALSE(are_made({"quant.itq_iterations=7", "quant.surrogate=ste", "optim.beta1=0.5",
                        "data.shuffle=false", "train.steps=9", "distill.kl_weight=2"}));
  CHECK_FALSE(are_made({"train.threads=1", "train.micro_batch_size=1", "log.every=2"}));
  for (const char* word :
       {"quant.svd_oversampling=7", "quant.svd_power_iterations=1", "train.seed=7",
        "quant.residual=false", "quant.min_rank=9", "quant.init=joint_itq"}) {
    INFO(word);
    CHECK(are_made({word}));
  }
  CHECK(are_made({"quant.init=joint_itq", "quant.itq_iterations=7"}));
  CHECK_FALSE(are_made({"quant.init=joint_itq", "quant.itq_iterations=50"}));
}

TEST_CASE("start factors are cached in quant.cache_dir, found again, and made anew where damaged") {
  const Scene scene;
  const std::string cache = "quant.cache_dir=" + (scene / "cache").string();
  check_refused(scene.train("x", {"--factorize-only"}), 2, {"quant.cache_dir"});
  require_done(scene.train("x", {"--factorize-only", cache}));
  CHECK_FALSE(fs::exists(scene / "x"));
  const Outcome cached = scene.train("cached", {cache, "train.steps=3"});
  require_done(cached);
  CHECK_THAT(cached.err, Contains("initial factors from"));
  require_done(scene.train("fresh", {"train.steps=3"}));
  const auto state = [&](const char* run) {
    return read_file(scene / run / "checkpoints" / "step-3" / "state.safetensors");
  };
  CHECK(state("cached") == state("fresh"));

  const auto kept = [&] {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(scene / "cache")) files.push_back(entry.path());
    REQUIRE(files.size() == 1);
    return files[0];
  };
  const std::string whole = read_file(kept());
  std::string flipped = whole;
  flipped[flipped.size() / 2] ^= 1;       // one bit of a latent
  const std::string without_hash = [&] {  // as an older program wrote it
    std::string bytes = whole;
    bytes.replace(bytes.find("content_hash"), 1, "C");
    return bytes;
  }();
  for (const auto& [run, bytes] : {std::pair{"cut", whole.substr(0, whole.size() / 2)},
                                   {"flipped", flipped},
                                   {"without", without_hash}}) {
    INFO(run);
    write_file(kept(), bytes);
    const Outcome damaged = scene.train(run, {cache, "train.steps=3"});
    require_done(damaged);
    CHECK_THAT(damaged.err, Contains("ignoring the cached factors"));
    // Made anew, kept again, and told of.
    CHECK(state(run) == state("fresh"));
    CHECK(read_file(kept()) == whole);
    CHECK_THAT(damaged.err.substr(damaged.err.rfind("written:")), Contains(kept().string()));
  }
}
