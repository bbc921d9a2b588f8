// littlebit-train --check and --estimate-memory as a user runs them: a whole folder, a config.json
// alone, and folders in which something is wrong.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "integration/outcome.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/json.h"
#include "support/paths.h"
#include "support/tiny_model.h"

using namespace littlebit;
using Catch::Matchers::Contains;
using littlebit::test::check_outcome;
using littlebit::test::Outcome;
namespace fs = std::filesystem;

namespace {

class Scene {
 public:
  Scene() {
    test::write_tiny_llama(temp_ / "teacher");
    write_file(temp_ / "text.txt", "some text\n");
    test::write_tiny_ids(temp_ / "tokens.safetensors", 12, 16);
  }
  fs::path operator/(const std::string& name) const { return temp_ / name; }

  // With text for data, or token files, which need no tokenizer.
  Outcome check(std::vector<std::string> extra, const std::string& mode = "--check",
                const std::string& format = "tokens") const {
    std::vector<std::string> words = {
        mode,
        "model.path=" + (temp_ / "teacher").string(),
        "data.train=[{path: \"" +
            (temp_ / (format == "tokens" ? "tokens.safetensors" : "text.txt")).string() +
            "\", format: " + format + "}]",
        "data.sequence_length=16",
        "quant.bits_per_weight=4",
        "train.steps=20",
        "output.dir=" + (temp_ / "run").string()};
    words.insert(words.end(), extra.begin(), extra.end());
    return test::run_program("littlebit-train", words);
  }

  // Rewrites config.json with one piece of text replaced.
  void change_config(const std::string& from, const std::string& to) const {
    std::string text = read_file(temp_ / "teacher" / "config.json");
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
    write_file(temp_ / "teacher" / "config.json", text);
  }
  void remove_weights() const { fs::remove(temp_ / "teacher" / "model.safetensors"); }

 private:
  TempFolder temp_;
};

}  // namespace

TEST_CASE("a check of a whole folder prints the plan, leaves nothing unchecked, writes nothing") {
  const Scene scene;
  const Outcome outcome = scene.check({});
  check_outcome(
      outcome, 0,
      {"model: llama, 2 blocks of 32, vocabulary 48", "14 linear layers", "16-bit model",
       "memory while training", "20 steps of 4 x 16 tokens, 1,280 in all", "nothing was written"});
  CHECK_THAT(outcome.err, !Contains("not checked"));
  CHECK_FALSE(fs::exists(scene / "run"));
}

TEST_CASE("a check looks at every tensor where there are any") {
  const Scene scene;
  scene.change_config("\"intermediate_size\": 40", "\"intermediate_size\": 48");
  check_outcome(
      scene.check({}), 3,
      {"6 tensor(s)", "model.layers.0.mlp.gate_proj.weight' is [40, 32], expected [48, 32]"});
  scene.change_config("\"intermediate_size\": 48", "\"intermediate_size\": 40");
  scene.change_config("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
  check_outcome(scene.check({}), 3, {"model.layers.2.self_attn.q_proj.weight' is missing"});
  scene.change_config("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
  write_file(scene / "teacher/model.safetensors", "x");
  check_outcome(scene.check({}), 3, {"model.safetensors"});
}

TEST_CASE(
    "a check: what a run would miss is an error beside weights, a note beside config.json alone") {
  const Scene scene;
  const std::string none = "data.train=[{path: none.jsonl, format: jsonl}]";
  check_outcome(scene.check({}, "--check", "text"), 3, {"tokenizer"});
  check_outcome(scene.check({"data.train=[{path: none.bin, format: tokens}]"}), 3, {"none.bin"});

  scene.remove_weights();
  const Outcome alone = scene.check({none, "eval.tasks=[wikitext2]", "eval.data_root=none"});
  check_outcome(alone, 0,
                {"not checked: the weights", "the tokenizer", "training data (no none.jsonl)",
                 "evaluation texts", "14 linear layers"});
  CHECK_THAT(scene.check({}).err, !Contains("training data") && !Contains("tokenizer"));
  // What is there is looked at, and a run itself needs everything.
  write_file(scene / "teacher/tokenizer.json", "{}");
  check_outcome(scene.check({none}), 3, {"tokenizer.json"});
  check_outcome(scene.check({"eval.tasks=[wikitext]"}), 2, {"wikitext2"});
  check_outcome(scene.check({"quant.min_rank=33"}), 2, {"min_rank"});
  check_outcome(test::run_program("littlebit-train",
                                  {"model.path=" + (scene / "teacher").string(), none,
                                   "train.steps=2", "output.dir=" + (scene / "run").string()}),
                3, {"tokenizer"});
}

TEST_CASE("a check refuses what is not supported by name") {
  const Scene scene;
  scene.remove_weights();
  scene.change_config("\"llama\"", "\"mamba\"");
  check_outcome(scene.check({}), 3, {"mamba", "llama, mistral"});
  scene.change_config("\"mamba\"", "\"llama\"");
  scene.change_config("\"silu\"", "\"quick_gelu\"");
  check_outcome(scene.check({}), 3, {"hidden_act", "quick_gelu"});
}

TEST_CASE("a check: --estimate-memory counts what the run holds") {
  const Scene scene;
  scene.remove_weights();
  // Layers of 32 x 32 (q, o), 16 x 32 (k, v), 40 x 32 (gate, up, down) have ranks 8, 8, 16 at 4
  // bits, in two paths; there are two blocks.
  const int64_t latents = 2 * 2 * (2 * 8 * 64 + 2 * 8 * 48 + 3 * 16 * 72);
  const Outcome outcome = scene.check({}, "--estimate-memory");
  char line[64];
  std::snprintf(line, sizeof line, "%.2f KiB\n", static_cast<double>(12 * latents) / 1024);
  check_outcome(outcome, 0, {"latents, two moments", line, "total"});
  CHECK_FALSE(fs::exists(scene / "run"));
}

TEST_CASE("a check: folders that could not be made are refused") {
  const Scene scene;
  write_file(scene / "file", "x");
  for (const char* option : {"output.dir", "data.cache_dir", "quant.cache_dir"}) {
    const std::string word = std::string(option) + "=" + (scene / "file" / "a" / "b").string();
    check_outcome(scene.check({word}), 5, {option, "is not a folder"});
  }
}

TEST_CASE("--estimate-memory asks for no more than the model") {
  const Scene scene;
  check_outcome(test::run_program("littlebit-train", {"--estimate-memory",
                                                      "model.path=" + (scene / "teacher").string(),
                                                      "quant.bits_per_weight=4"}),
                0, {"latents, two moments", "gradients of latents", "total"});
}

TEST_CASE("--estimate-memory: where the teacher is, by what fits") {
  const std::string model = std::string(test::kSourceDir) + "/configs/scale/llama2-7b";
  const auto outcome = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"--estimate-memory", "model.path=" + model, "quant.bits_per_weight=0.1",
                  "train.micro_batch_size=1", "data.sequence_length=2048", "train.recompute=full",
                  "optim.state_device=device"});
    return test::run_program("littlebit-train", words);
  };
  const auto placed = [&](std::vector<std::string> words) {
    words.insert(words.end(), {"--json", "train.device=cuda"});
    return parse_json(outcome(words).out, "estimate").at("teacher").get<std::string>();
  };
  // 24.6 GiB with the whole teacher, 13.1 GiB with two blocks of it.
  CHECK(placed({"--device-memory", "24GiB"}) == "streamed");
  CHECK(placed({"--device-memory", "26GiB"}) == "replicated");
  CHECK(placed({"--device-memory", "12GiB"}) == "replicated");  // nothing would help
  // With latents and moments on the host first.
  CHECK(placed({"--device-memory", "24GiB", "optim.state_device=auto"}) == "replicated");
  CHECK(placed({"--device-memory", "12GiB", "optim.state_device=auto"}) == "streamed");
  CHECK(placed({}) == "replicated");
  CHECK(placed({"--device-memory", "24GiB", "train.teacher=replicated"}) == "replicated");
  CHECK(placed({"--device-memory", "80GiB", "train.teacher=streamed"}) == "streamed");
  check_outcome(outcome({"train.device=cuda", "train.teacher=streamed"}), 0,
                {"copied in a step: to the device 12.06 GiB, to the host 0 B",
                 "teacher's blocks on their way"});
  // Two processes have it in parts.
  CHECK(placed({"--device-memory", "24GiB", "--processes", "2", "train.global_batch_size=2"}) ==
        "sharded");

  // On a CPU it goes by the type: fp16 in the files, fp32 or bf16 in products.
  const char* auto_line = "train.teacher: auto: streamed";
  check_outcome(outcome({"train.device=cpu"}), 0, {auto_line, "to fp32"});
  check_outcome(outcome({"train.device=cpu", "train.dtype=bf16"}), 0, {auto_line, "to bf16"});
  CHECK_THAT(outcome({"train.device=cpu", "data.sequence_length=256"}).err, !Contains(auto_line));
  CHECK_THAT(outcome({"train.device=cpu", "train.teacher=replicated"}).err, !Contains(auto_line));
}

TEST_CASE("--estimate-memory of a process of several: config.json is enough, for a GPU too") {
  const Scene scene;
  scene.remove_weights();
  const auto estimate = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"--estimate-memory", "model.path=" + (scene / "teacher").string(),
                                 "quant.bits_per_weight=4", "train.global_batch_size=16"});
    return test::run_program("littlebit-train", words);
  };
  check_outcome(estimate({"--processes", "4", "train.device=cuda", "--device-memory", "24GiB",
                          "--bandwidth", "400Gb/s"}),
                0,
                {"process 0 of 4", "gradients of latents", "reduce_scatter_sum", " ms",
                 "the run fits into 24.00 GiB", "microbatch"});
  check_outcome(estimate({"--device-memory", "1kB"}), 0, {"does not fit into 1000 B"});
  const Outcome json = estimate({"--processes", "2", "--json"});
  check_outcome(json, 0, {});
  CHECK_THAT(json.out, Contains("\"processes\": 2") && Contains("\"total_of_last\""));
  test::check_refused(estimate({"--processes", "3"}), 2,
                      {"cannot be divided among 3", "train.global_batch_size=15 or 18"});
  test::check_refused(estimate({"--processes", "0"}), 2, {"--processes was given 0"});
  CHECK_THAT(estimate({"--processes", "8", "--processes-per-host", "4", "--json"}).out,
             Contains("\"processes_per_host\": 4") && Contains("\"teacher\": \"spread\""));
  test::check_refused(estimate({"--processes", "8", "--processes-per-host", "3"}), 2,
                      {"--processes-per-host was given 3, of 8 processes", "divides"});
  test::check_refused(estimate({"--device-memory", "24"}), 2, {"--device-memory was given \"24\""});
  test::check_refused(test::run_program("littlebit-train", {"--processes", "2"}), 2,
                      {"--estimate-memory"});
}
