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

#include "integration/program.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "littlebit/quant/student.h"
#include "support/paths.h"

using namespace littlebit;
namespace fs = std::filesystem;

namespace {

struct Layer {
  std::string name;
  int64_t out, in;
};

std::vector<fs::path> published() {
  std::vector<fs::path> files;
  for (const auto& entry :
       fs::directory_iterator(fs::path(test::kSourceDir) / "tests/golden/configs")) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

// What a model of this config.json holds, from its own keys and, where it leaves one out, the value
// that its family's class has.
std::vector<Layer> layers_of(const Json& whole) {
  const Json& config = whole.contains("text_config") ? whole.at("text_config") : whole;
  const std::string type = config.at("model_type");
  const auto get = [&](const char* key, int64_t fallback) { return config.value(key, fallback); };
  const int64_t hidden = config.at("hidden_size");
  const int64_t heads = get("num_attention_heads", 8), blocks = config.at("num_hidden_layers");
  const bool gemma = type.starts_with("gemma"), opt = type == "opt", phi = type.starts_with("phi");
  const int64_t width = get("head_dim", gemma ? 256 : hidden / heads);
  const int64_t q = heads * width, kv = get("num_key_value_heads", gemma ? 4 : heads) * width;
  const int64_t inner = opt ? get("ffn_dim", 0) : get("intermediate_size", 0);
  std::vector<Layer> layers;
  for (int64_t i = 0; i < blocks; ++i) {
    const std::string block =
        (opt ? "model.decoder.layers." : "model.layers.") + std::to_string(i) + ".";
    layers.push_back({block + "self_attn.q_proj", q, hidden});
    layers.push_back({block + "self_attn.k_proj", kv, hidden});
    layers.push_back({block + "self_attn.v_proj", kv, hidden});
    layers.push_back({block + (opt ? "self_attn.out_proj" : "self_attn.o_proj"), hidden, q});
    if (opt) {
      layers.push_back({block + "fc1", inner, hidden});
      layers.push_back({block + "fc2", hidden, inner});
    } else if (phi) {
      layers.push_back({block + "mlp.gate_up_proj", 2 * inner, hidden});
      layers.push_back({block + "mlp.down_proj", hidden, inner});
    } else {
      layers.push_back({block + "mlp.gate_proj", inner, hidden});
      layers.push_back({block + "mlp.up_proj", inner, hidden});
      layers.push_back({block + "mlp.down_proj", hidden, inner});
    }
  }
  return layers;
}

// The authors' rule in exact arithmetic: bits in hundredths, all else integers. Two paths.
int64_t rank_of(const Layer& layer, int64_t hundredths, int64_t kv_factor, int64_t least) {
  const int64_t a = layer.in, b = layer.out;
  const bool kv = layer.name.ends_with(".k_proj") || layer.name.ends_with(".v_proj");
  const int64_t numerator = (a * b * hundredths - 3200 * (a + b)) * (kv ? kv_factor : 1);
  const int64_t denominator = 200 * (a + b + 16);
  const int64_t eights = numerator <= 0 ? 0 : numerator / (8 * denominator);
  return std::min(std::max(8 * eights, least), std::min(a, b) / 8 * 8);
}

int64_t stored_bits(const Layer& layer, int64_t r) {
  const auto word = [](int64_t n) { return (n + 31) / 32 * 32; };
  return 2 * (layer.out * word(r) + r * word(layer.in) + 16 * (layer.in + layer.out + 2 * r));
}

}  // namespace

TEST_CASE("ranks, bits and names of published models, layer by layer") {
  REQUIRE(published().size() == 29);
  int64_t floors = 0, caps = 0;
  for (const fs::path& file : published()) {
    INFO(file.filename());
    const Json config = read_json_file(file);
    Decoder decoder(parse_model_spec(config), at::kFloat, at::kCPU);
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
