// What a step's line of metrics says about its time.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "integration/outcome.h"
#include "littlebit/io/json.h"
#include "tiny_scene.h"

namespace littlebit::test {

TEST_CASE("each step tells what its time was spent on, and the share of its products") {
  const TinyScene scene;
  for (const bool several : {false, true}) {
    const std::string name = several ? "two" : "one";
    std::vector<std::string> extra = {"train.threads=1", "train.steps=4"};
    if (several) extra.insert(extra.begin(), {"--nproc", "2"});
    require_done(scene.train(name, extra));
    std::ifstream stream(scene / name / "metrics.jsonl");
    int lines = 0;
    for (std::string line; std::getline(stream, line); ++lines) {
      INFO(line);
      const Json metrics = parse_json(line, "metrics");
      double sum = 0;
      std::set<std::string> parts;
      for (const auto& [part, seconds] : metrics.at("seconds_by_part").items()) {
        CHECK(seconds.get<double>() >= 0);
        parts.insert(part);
        if (part != "waiting") sum += seconds.get<double>();
      }
      std::set<std::string> want = {"data",      "loss",    "recompute and backward",
                                    "optimizer", "teacher", "student forward"};
      if (several) want.insert("waiting");
      CHECK(parts == want);
      const double seconds = metrics.at("seconds").get<double>();
      CHECK(sum > 0.5 * seconds);
      CHECK(sum < 1.001 * seconds);
      CHECK(metrics.at("product_share").get<double>() > 0);
    }
    CHECK(lines == 4);
  }
}

}  // namespace littlebit::test
