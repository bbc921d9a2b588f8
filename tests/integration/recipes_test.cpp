// The recipes of configs/train for published models: each passes --check beside a config.json
// alone, and they differ in nothing but the model, the budget and what is listed here.
#include <catch2/catch.hpp>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "integration/program.h"
#include "integration/tiny_scene.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

struct Recipe {
  std::string model, bits;
  const char* config;  // of tests/golden/configs

  std::string name() const { return model + "-" + bits + "bpw"; }
  fs::path file() const {
    return fs::path(test::kSourceDir) / "configs" / "train" / (name() + ".yaml");
  }
};

std::vector<Recipe> recipes() {
  std::vector<Recipe> all;
  for (const char* bits : {"1", "0.8", "0.55", "0.3", "0.1"}) {
    all.push_back({"llama2-7b", bits, "llama-2-7b.json"});
    all.push_back({"llama3-8b", bits, "llama3-8B-instruct.json"});
    all.push_back({"opt-1.3b", bits, "opt-1.3b.json"});
  }
  return all;
}

// "section.key" -> value, from the lines of --print-config.
std::map<std::string, std::string> resolved(const fs::path& file,
                                            std::vector<std::string> words = {}) {
  words.insert(words.begin(), {"--config", file.string(), "--print-config"});
  const test::Outcome outcome = test::run_program("littlebit-train", words);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  std::map<std::string, std::string> values;
  std::istringstream lines(outcome.out);
  std::string section;
  for (std::string line; std::getline(lines, line);) {
    line.resize(std::min(line.size(), line.find("  #")));
    const size_t colon = line.find(':');
    if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
    if (line[0] != ' ') section = line.substr(0, colon);
    values[section + "." + line.substr(0, colon)] += line.substr(colon + 1);
  }
  return values;
}

}  // namespace

TEST_CASE("recipes pass --check beside a config.json alone") {
  for (const Recipe& recipe : recipes()) {
    INFO(recipe.name());
    const TempFolder model;
    fs::copy_file(fs::path(test::kSourceDir) / "tests/golden/configs" / recipe.config,
                  model / "config.json");
    const test::Outcome outcome =
        test::run_program("littlebit-train", {"--config", recipe.file().string(), "--check",
                                              "model.path=" + model.path().string(),
                                              "eval.data_root=" + (model / "none").string()});
    INFO(outcome.err);
    CHECK(outcome.code == 0);
    CHECK_THAT(outcome.err, Contains("5 epochs in steps of 16 x 2048 tokens"));
    CHECK_THAT(outcome.err, Contains("not checked: the weights"));
    CHECK_FALSE(fs::exists("runs/" + recipe.name()));
  }
}

TEST_CASE("recipes agree in all that the paper does not vary") {
  // As the files' first lines tell.
  const std::vector<std::string> paper = {"recipe=reference", "optim.learning_rate=4e-5"};
  const std::map<std::string, std::string> first = resolved(recipes()[0].file(), paper);
  CHECK(first.size() > 50);
  const std::map<std::string, std::string> settings = {
      {"optim.  schedule", " cosine"},     {"optim.  warmup_ratio", " 0.02"},
      {"optim.  max_grad_norm", " 1"},     {"optim.  weight_decay", " 0"},
      {"distill.  hidden_weight", " 10"},  {"distill.  normalization", " reference"},
      {"quant.  init", " dual_svid"},      {"quant.  residual", " true"},
      {"train.  global_batch_size", " 16"}};
  for (const auto& [key, value] : settings) {
    INFO(key);
    CHECK(first.at(key) == value);
  }
  for (const Recipe& recipe : recipes()) {
    INFO(recipe.name());
    std::map<std::string, std::string> expected = first;
    const std::map<std::string, std::string> values = resolved(recipe.file(), paper);
    expected["model.  path"] = values.at("model.  path");
    expected["output.  dir"] = " runs/" + recipe.name();
    expected["quant.  bits_per_weight"] = " " + recipe.bits;
    if (recipe.name() == "llama3-8b-0.1bpw") expected["quant.  kv_factor"] = " 4";
    if (recipe.name() == "opt-1.3b-0.1bpw") expected["quant.  residual"] = " false";
    CHECK(values == expected);
    CHECK_THAT(values.at("model.  path"), Contains("models/"));
    CHECK(resolved(recipe.file()).at("recipe.recipe") == " best");
  }
}

TEST_CASE("recipe best warns of steps that are few and large") {
  const test::TinyScene scene;  // steps of 4 sequences, an epoch of 3
  const auto check = [&](std::vector<std::string> words) {
    words.emplace_back("--check");
    const test::Outcome outcome = scene.train("x", words);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return outcome.err;
  };
  CHECK_THAT(check({"recipe=best", "train.steps=150"}),
             Contains("150 updates of 4 sequences are few: train.global_batch_size=1 would give "
                      "600") &&
                 Contains("train.steps=600"));
  CHECK_THAT(check({"recipe=best", "train.steps=199", "train.global_batch_size=12"}),
             Contains("train.global_batch_size=4 would give 597"));
  const std::vector<std::vector<std::string>> fine = {
      {"recipe=best", "train.steps=200"},
      {"recipe=best", "train.steps=150", "train.global_batch_size=1"},
      {"recipe=littlebit2", "train.steps=150"},
      {"train.steps=20"}};
  for (const std::vector<std::string>& words : fine) {
    CHECK_THAT(check(words), !Contains("are few"));
  }
  // Of epochs the number is known when the text is: in the run.
  const test::Outcome run = scene.train("run", {"recipe=best", "train.steps=0", "train.epochs=2"});
  INFO(run.err);
  REQUIRE(run.code == 0);
  CHECK_THAT(run.err, Contains("6 updates of 4 sequences are few: train.global_batch_size=1 would "
                               "give 24 from the same text, and"));
}

TEST_CASE("a loss of hidden states alone is warned of once") {
  const test::TinyScene scene;
  const auto run = [&](const std::string& name, std::vector<std::string> words) {
    words.emplace_back("train.steps=2");
    const test::Outcome outcome = scene.train(name, words);
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    return outcome.err;
  };
  const std::string said = run("much", {"distill.hidden_weight=1e6"}),
                    begin = "the loss is nearly all";
  CHECK_THAT(said, Contains(begin) && Contains("distill.hidden=relative"));
  CHECK(said.find(begin) == said.rfind(begin));
  CHECK_THAT(run("usual", {}), !Contains(begin));
  CHECK_THAT(run("relative", {"distill.hidden_weight=1e6", "distill.hidden=relative"}),
             !Contains(begin));
  CHECK_THAT(run("none", {"distill.hidden_weight=1", "distill.kl_weight=0"}), !Contains(begin));
}

TEST_CASE("at 0.3 bit the quality table's littlebit2 has one path, no more") {
  const fs::path folder = fs::path(test::kSourceDir) / "configs" / "quality";
  auto usual = resolved(folder / "littlebit2.yaml");
  usual["quant.  residual"] = " false";
  CHECK(resolved(folder / "littlebit2-0.3.yaml") == usual);
}

TEST_CASE("the quality table's runs differ in what recipe best sets") {
  const fs::path folder = fs::path(test::kSourceDir) / "configs" / "quality";
  const auto ours = resolved(folder / "best.yaml"), theirs = resolved(folder / "littlebit2.yaml");
  std::set<std::string> differing;
  for (const auto& [key, value] : ours) {
    if (theirs.at(key) != value) differing.insert(key);
  }
  CHECK(differing ==
        std::set<std::string>{"recipe.recipe", "quant.  init", "quant.  residual", "quant.  ranks",
                              "quant.  latent_rms", "quant.  admm_iterations",
                              "optim.  latent_learning_rate", "optim.  beta1", "distill.  hidden",
                              "distill.  hidden_weight", "distill.  hidden_schedule"});
  for (const char* key :
       {"train.  global_batch_size", "data.  sequence_length", "optim.  learning_rate"}) {
    CHECK(ours.at(key) == theirs.at(key));
  }
}
