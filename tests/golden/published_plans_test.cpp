// Plans for published models (tests/golden/configs): every layer's name, shape and rank against a
// list and a formula written here from the papers and the makers' own module names, and what
// `littlebit-train --check` says of a folder that holds config.json alone.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "golden/expected_layers.h"
#include "integration/program.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "littlebit/models/architectures.h"
#include "littlebit/quant/student.h"
#include "support/paths.h"

using namespace littlebit;
namespace fs = std::filesystem;
using test::Layer;
using test::layers_of;
using test::rank_of;
using test::stored_bits;

namespace {

std::vector<fs::path> published() {
  std::vector<fs::path> files;
  for (const auto& entry :
       fs::directory_iterator(fs::path(test::kSourceDir) / "tests/golden/configs")) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("ranks, bits and names of published models, layer by layer") {
  REQUIRE(published().size() == 29);
  int64_t floors = 0, caps = 0;
  for (const fs::path& file : published()) {
    INFO(file.filename());
    const Json config = read_json_file(file);
    Decoder decoder = empty_decoder(parse_model_spec(config), at::kFloat, at::kCPU);
    const std::vector<Layer> expected = layers_of(config);
    for (const int64_t hundredths : {100, 55, 30, 10, 1200}) {
      for (const int64_t kv_factor : {1, 4}) {
        for (const int64_t least : {8, 24}) {
          QuantOptions options;
          options.bits_per_weight = static_cast<double>(hundredths) / 100;
          options.kv_factor = static_cast<double>(kv_factor);
          options.min_rank = least;
          const std::vector<LayerPlan> plans = plan_model(decoder, options);
          REQUIRE(plans.size() == expected.size());
          for (size_t i = 0; i < plans.size(); ++i) {
            const LayerPlan& plan = plans[i];
            const Layer& layer = expected[i];
            const int64_t r = rank_of(layer, hundredths, kv_factor, least);
            const double a = static_cast<double>(layer.in), b = static_cast<double>(layer.out);
            const double bits =
                (2.0 * static_cast<double>(r) * (a + b + 16) + 32 * (a + b)) / (a * b);
            const bool good =
                plan.name == layer.name && plan.d_out == layer.out && plan.d_in == layer.in &&
                plan.rank == r && plan.paths == 2 &&
                std::abs(plan.effective_bits() - bits) < 1e-12 &&
                plan.stored_bits() == stored_bits(layer, r) &&
                // Within the budget unless the floor lifts it.
                (plan.at_floor || kv_factor > 1 || bits <= options.bits_per_weight + 1e-12);
            floors += plan.at_floor;
            caps += plan.at_cap;
            if (good) continue;
            FAIL_CHECK(layer.name << " [" << layer.out << ", " << layer.in << "] at " << hundredths
                                  << "/100 bits: planned " << plan.name << " [" << plan.d_out
                                  << ", " << plan.d_in << "] rank " << plan.rank << ", expected "
                                  << r);
          }
        }
      }
    }
  }
  CHECK(floors > 100);  // small key and value projections at 0.1 bits
  CHECK(caps > 100);    // everything at 12 bits
}

TEST_CASE("a check of a folder that holds config.json alone prints the plan of every one") {
  const char* bits[] = {"1.0", "0.55", "0.3", "0.1"};
  const int64_t hundredths[] = {100, 55, 30, 10};
  size_t next = 0;
  for (const fs::path& file : published()) {
    const size_t budget = next++ % 4;
    INFO(file.filename() << " at " << bits[budget]);
    const TempFolder temp;
    fs::copy_file(file, temp / "config.json");
    const test::Outcome outcome = test::run_program(
        "littlebit-train",
        {"--check", "model.path=" + temp.path().string(),
         std::string("quant.bits_per_weight=") + bits[budget], "data.train=[none.jsonl]",
         "train.epochs=5", "data.sequence_length=512", "output.dir=" + (temp / "run").string()});
    INFO(outcome.err);
    CHECK(outcome.code == 0);

    // Layers of one kind, shape and rank are one row: kind, number, d_out, d_in, rank, paths.
    std::map<std::string, int64_t> rows;
    double weights = 0, formula = 0, stored = 0;
    const std::vector<Layer> layers = layers_of(read_json_file(file));
    for (const Layer& layer : layers) {
      const int64_t r = rank_of(layer, hundredths[budget], 1, 8);
      ++rows[layer.name.substr(layer.name.rfind('.') + 1) + " " + std::to_string(layer.out) +
             " x " + std::to_string(layer.in) + " " + std::to_string(r) + " 2"];
      const double a = static_cast<double>(layer.in), b = static_cast<double>(layer.out);
      weights += a * b;
      formula += 2.0 * static_cast<double>(r) * (a + b + 16) + 32 * (a + b);
      stored += static_cast<double>(stored_bits(layer, r));
    }
    std::map<std::string, int64_t> printed;
    std::istringstream text(outcome.err);
    for (std::string line; std::getline(text, line);) {
      std::istringstream words(line);
      std::string kind, by;
      int64_t number = 0, out = 0, in = 0, rank = 0, paths = 0;
      if (words >> kind >> number >> out >> by >> in >> rank >> paths && by == "x") {
        printed[kind + " " + std::to_string(out) + " x " + std::to_string(in) + " " +
                std::to_string(rank) + " " + std::to_string(paths)] = number;
      }
    }
    CHECK(printed == rows);
    char summary[200];
    std::snprintf(summary, sizeof summary,
                  "%zu linear layers, %s weights: %.3f bits per weight by "
                  "the paper's formula, %.3f as stored (%s)",
                  layers.size(), format_count(static_cast<int64_t>(weights)).c_str(),
                  formula / weights, stored / weights,
                  format_bytes(static_cast<uint64_t>(stored / 8)).c_str());
    CHECK_THAT(outcome.err, Catch::Contains(summary));
    CHECK_THAT(outcome.err, Catch::Contains("not checked: the weights") &&
                                Catch::Contains("the tokenizer (") &&
                                Catch::Contains("training data (no none.jsonl)"));
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') < 50);
    CHECK_FALSE(fs::exists(temp / "run"));
  }
}
