// quant.ranks=by_loss: other ranks in no more bits, the same in any number of processes, kept by
// checkpoints and exports.
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "integration/tiny_scene.h"
#include "littlebit/io/json.h"

using namespace littlebit;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kWords = {"quant.ranks=by_loss",  "quant.bits_per_weight=3",
                                         "quant.residual=false", "train.threads=1",
                                         "train.steps=2",        "train.micro_batch_size=1"};

struct Layers {
  std::map<std::string, int64_t> ranks;
  double bits = 0;  // by the formula, of all weights
};

Layers layers_of(const fs::path& run) {
  Layers layers;
  std::ifstream stream(run / "factorization.jsonl");
  for (std::string line; std::getline(stream, line);) {
    const Json layer = parse_json(line, "factorization");
    layers.ranks[layer.at("name").get<std::string>()] = layer.at("rank").get<int64_t>();
    layers.bits += layer.at("bits").get<double>() * layer.at("shape")[0].get<double>() *
                   layer.at("shape")[1].get<double>();
  }
  return layers;
}

}  // namespace

TEST_CASE("ranks by loss: other ranks in no more bits") {
  const test::TinyScene scene;
  const auto train = [&](const std::string& name, std::vector<std::string> extra,
                         std::vector<std::string> front = {}) {
    std::vector<std::string> words = scene.words(name, kWords);
    words.insert(words.end(), extra.begin(), extra.end());
    words.insert(words.begin(), front.begin(), front.end());
    const test::Outcome done = test::run_program("littlebit-train", words);
    INFO(done.err);
    REQUIRE(done.code == 0);
    return layers_of(scene / name);
  };
  const Layers uniform = train("uniform", {"quant.ranks=uniform"});
  const Layers made = train("made", {"export.formats=[packed]"});
  REQUIRE(made.ranks.size() == uniform.ranks.size());
  CHECK(made.ranks != uniform.ranks);
  CHECK(made.bits <= uniform.bits * (1 + 1e-9));
  CHECK(train("again", {}).ranks == made.ranks);
  CHECK(train("two", {}, {"--nproc", "2"}).ranks == made.ranks);

  SECTION("a checkpoint has them, and a run that goes on does not measure again") {
    train("stopped", {"train.stop_after=1"});
    const test::Outcome resumed = test::run_program("littlebit-train", [&] {
      std::vector<std::string> words = scene.words("stopped", kWords);
      words.insert(words.begin(), {"--resume", "auto"});
      return words;
    }());
    INFO(resumed.err);
    REQUIRE(resumed.code == 0);
    CHECK_THAT(resumed.err, !Contains("measuring"));
    const test::Outcome refused = scene.train("stopped", {"--resume", "auto"});
    CHECK(refused.code == 2);
  }
  SECTION("a packed folder has them, and is the start of another training") {
    const std::string file = "quant.init_file=" + (scene / "made" / "export" / "packed").string();
    const test::Outcome refused =
        scene.train("both", {"quant.init=file", file, "quant.ranks=by_loss"});
    CHECK(refused.code == 2);
    CHECK_THAT(refused.err, Contains("ranks come from the file"));
    std::vector<std::string> words =
        scene.words("next", {"quant.init=file", file, "recipe=best", "train.steps=1"});
    std::erase(words, "quant.bits_per_weight=0.5");  // ranks are the file's
    const test::Outcome next = test::run_program("littlebit-train", words);
    INFO(next.err);
    REQUIRE(next.code == 0);
    CHECK(layers_of(scene / "next").ranks == made.ranks);
  }
  SECTION("a teacher that is streamed cannot be measured, and that is said") {
    const test::Outcome streamed = scene.train("streamed", [] {
      std::vector<std::string> words = kWords;
      words.emplace_back("train.teacher=streamed");
      return words;
    }());
    INFO(streamed.err);
    REQUIRE(streamed.code == 0);
    CHECK_THAT(streamed.err, Contains("quant.ranks: every layer gets the rank of its own bits"));
    CHECK(layers_of(scene / "streamed").ranks == uniform.ranks);
  }
}
