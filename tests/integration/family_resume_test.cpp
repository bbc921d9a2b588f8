// A model of each family, trained by two processes, its blocks one by one first: with every switch
// of memory and traffic on, stopped between blocks, in the middle of an epoch and at its end and
// resumed, it comes to the bytes of a run that has them all off and was never disturbed.
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "integration/outcome.h"
#include "integration/run_metrics.h"
#include "littlebit/core/read_file.h"
#include "littlebit/io/json.h"
#include "tiny_scene.h"

namespace littlebit::test {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

// The first folder of each model_type, by its name.
std::map<std::string, fs::path> one_of_each_family() {
  std::map<std::string, fs::path> folders;
  for (const char* kind : {"models", "more_models"}) {
    for (const auto& entry : fs::directory_iterator(fs::path(kSourceDir) / "tests/golden" / kind)) {
      if (!fs::exists(entry.path() / "model.safetensors")) continue;
      const Json config = read_json_file(entry.path() / "config.json");
      const auto [place, is_new] =
          folders.emplace(config.at("model_type").get<std::string>(), entry.path());
      if (!is_new && entry.path() < place->second) place->second = entry.path();
    }
  }
  return folders;
}

}  // namespace

TEST_CASE("each family, all switches on, stopped and resumed: the bytes of a plain run") {
  const TinyScene scene;  // whose ids every vocabulary here has; its epoch has 3 steps
  const std::map<std::string, fs::path> families = one_of_each_family();
  REQUIRE(families.size() >= 9);
  const Words off = {"train.recompute=full", "train.teacher=replicated",
                     "train.gradient_reduce=step", "checkpoint.async=false",
                     "blockwise.storage=memory"};
  const Words on = {"train.recompute=none",
                    "train.teacher=sharded",
                    "train.gradient_reduce=microbatch",
                    "checkpoint.async=true",
                    "checkpoint.every=1",
                    "blockwise.storage=disk",
                    "--resume",
                    "auto"};
  const Words lean = {"train.recompute=full", "train.teacher=streamed",
                      "train.block_inputs_device=cpu", "--resume", "auto"};
  for (const auto& [family, folder] : families) {
    const auto train = [&, &folder = folder](const std::string& name, Words extra) {
      extra.insert(extra.begin(),
                   {"--nproc", "2", "model.path=" + folder.string(), "train.threads=1",
                    "train.steps=6", "train.micro_batch_size=2", "blockwise.sequences=2",
                    "blockwise.passes=1", "blockwise.batch_size=2"});
      require_done(scene.train(name, extra));
      return scene / name;
    };
    const fs::path whole = train(family, off);
    for (const int stop : {1, 4, 6}) {
      Words extra = stop == 4 ? lean : on;
      extra.push_back("train.stop_after=" + std::to_string(stop));
      train(family + "-on", extra);
    }
    const fs::path run = train(family + "-on", on);
    INFO(folder);
    REQUIRE(metrics_without_times(run).size() > 6);
    CHECK(metrics_without_times(run) == metrics_without_times(whole));
    const char* exported = "export/packed/model.safetensors";
    CHECK(read_file(run / exported) == read_file(whole / exported));
  }
}

}  // namespace littlebit::test
