// Recorded runs of the authors' trainer, replayed through our command line within the bounds of
// training/README.md, and our own start on the same text.
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "integration/program.h"
#include "littlebit/io/json.h"
#include "support/paths.h"

using namespace littlebit;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(littlebit::test::kSourceDir) / "tests" / "golden";
const fs::path kTraining = kGolden / "training";

std::vector<Json> read_lines(const fs::path& file) {
  std::ifstream stream(file);
  std::vector<Json> lines;
  for (std::string line; std::getline(stream, line);)
    lines.push_back(parse_json(line, file.string()));
  return lines;
}

double mean_of_last_losses(const std::vector<Json>& lines) {
  double sum = 0;
  for (size_t i = lines.size() - 10; i < lines.size(); ++i)
    sum += lines[i].at("loss").get<double>();
  return sum / 10;
}

test::Outcome train(const fs::path& output, std::vector<std::string> extra) {
  std::vector<std::string> words = {"model.path=" + (kGolden / "stories260k").string(),
                                    "data.train=[{path: \"" +
                                        (kTraining / "tokens.safetensors").string() +
                                        "\", format: tokens}]",
                                    "data.sequence_length=256",
                                    "data.shuffle=false",
                                    "train.steps=200",
                                    "train.global_batch_size=8",
                                    "train.micro_batch_size=8",
                                    "optim.learning_rate=1e-3",
                                    "eval.text=" + (kTraining / "tinystories_tail.txt").string(),
                                    "eval.sequence_length=256",
                                    "export.formats=[]",
                                    "output.dir=" + output.string()};
  words.insert(words.end(), extra.begin(), extra.end());
  return test::run_program("littlebit-train", words);
}

void replay(const std::string& run, const std::vector<std::string>& extra,
            double perplexity_bound) {
  const TempFolder temp;
  std::vector<std::string> words = {
      "quant.init=file", "quant.init_file=" + (kTraining / run / "latents.safetensors").string()};
  words.insert(words.end(), extra.begin(), extra.end());
  const test::Outcome outcome = train(temp / "out", words);
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
  const std::vector<Json> got = read_lines(temp / "out" / "metrics.jsonl");
  const std::vector<Json> want = read_lines(kTraining / run / "expected.jsonl");
  REQUIRE(got.size() == 200);
  REQUIRE(want.size() == 200);
  const auto close = [&](size_t i, const char* key, double epsilon) {
    INFO("step " << i + 1 << ", " << key);
    CHECK(got[i].at(key).get<double>() == Approx(want[i].at(key).get<double>()).epsilon(epsilon));
  };
  for (const char* key : {"loss", "loss_kl", "loss_hidden", "grad_norm"}) close(0, key, 1e-4);
  for (size_t i = 0; i < 200; ++i) {
    CHECK(got[i].at("step") == i + 1);
    CHECK(std::abs(got[i].at("learning_rate").get<double>() -
                   want[i].at("learning_rate").get<double>()) < 1e-7);
    // fp32 sums in another order: 2e-7 was seen. From step 80 on signs flip differently.
    if (i > 0 && i < 40) close(i, "loss", 1e-5);
    if (i >= 40 && i < 70) close(i, "loss", 1e-4);
  }
  CHECK(mean_of_last_losses(got) == Approx(mean_of_last_losses(want)).epsilon(0.03));
  const Json summary = read_json_file(temp / "out" / "run.json").at("summary");
  const Json final = read_json_file(kTraining / run / "final.json");
  CHECK(summary.at("teacher_perplexity").get<double>() ==
        Approx(final.at("teacher_perplexity").get<double>()).epsilon(1e-3));
  // No worse than the recorded one. In another order of sums some signs flip differently from some
  // step on, and ours came out lower each time: with two paths between 53.4 and 54.2, theirs 55.5.
  const double perplexity = summary.at("final_perplexity"), recorded = final.at("perplexity");
  CHECK(perplexity < recorded * (1 + perplexity_bound));
  CHECK(perplexity > recorded * (1 - 2 * perplexity_bound));
}

}  // namespace

TEST_CASE("the authors' run with two paths, replayed") { replay("two_paths", {}, 0.03); }

TEST_CASE("the authors' run with one path, replayed") {
  replay("one_path", {"quant.residual=false"}, 0.08);
}

TEST_CASE(
    "from our own Dual-SVID start: no worse than the authors' by more than 8 %, mean of 3 seeds",
    "[.long]") {
  for (const auto& [run, extra] :
       {std::pair{"two_paths", std::vector<std::string>{"quant.bits_per_weight=1.0"}},
        std::pair{"one_path", std::vector<std::string>{"quant.bits_per_weight=0.55",
                                                       "quant.residual=false"}}}) {
    double sum = 0;
    for (const char* seed : {"1", "2", "3"}) {
      const TempFolder temp;
      std::vector<std::string> words = extra;
      words.push_back(std::string("train.seed=") + seed);
      const test::Outcome outcome = train(temp / "out", words);
      INFO(outcome.err);
      REQUIRE(outcome.code == 0);
      sum += read_json_file(temp / "out" / "run.json")
                 .at("summary")
                 .at("final_perplexity")
                 .get<double>();
    }
    INFO(run << ": mean perplexity " << sum / 3);
    CHECK(sum / 3 <=
          1.08 * read_json_file(kTraining / run / "final.json").at("perplexity").get<double>());
  }
}
