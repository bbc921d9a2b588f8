// Damaged config.json files: each ends in a clear error or in a model that runs. Nothing is
// allocated by what config.json says before the tensors agree.
#include <ATen/Parallel.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "fixtures.h"
#include "littlebit/core/error.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/load.h"

namespace littlebit {
namespace {

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  Json mutate(Json config) {
    for (int64_t n = below(3); n >= 0; --n) mutate_once(config);
    return config;
  }

 private:
  int64_t below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }

  Json any_value() {
    static const Json kValues = {
        nullptr,
        true,
        false,
        0,
        1,
        -1,
        2,
        3,
        7,
        16,
        64,
        65,
        4096,
        1 << 20,
        INT64_MAX,
        INT64_MIN,
        UINT64_MAX,
        0.0,
        0.5,
        1.0,
        1.5,
        -0.25,
        1e-30,
        1e30,
        1e308,
        "",
        "silu",
        "gelu",
        "linear",
        "dynamic",
        "llama",
        "longrope",
        "sliding_attention",
        Json::array(),
        Json::object(),
        {1, 2, 3},
        {{"type", "linear"}, {"factor", 2.0}},
        {{"rope_type", "dynamic"}, {"factor", 3}},
        {{"rope_type", "llama3"},
         {"factor", 8},
         {"low_freq_factor", 1},
         {"high_freq_factor", 4},
         {"original_max_position_embeddings", 16}},
        {{"type", "longrope"}, {"short_factor", {1, 1}}, {"long_factor", {2, 2}}}};
    return kValues[below(static_cast<int64_t>(kValues.size()))];
  }

  void mutate_once(Json& object) {
    static const std::vector<std::string> kKeys = {"rope_scaling",
                                                   "rope_parameters",
                                                   "rope_type",
                                                   "full_attention",
                                                   "head_dim",
                                                   "num_key_value_heads",
                                                   "tie_word_embeddings",
                                                   "attention_bias",
                                                   "mlp_bias",
                                                   "sliding_window",
                                                   "use_sliding_window",
                                                   "max_window_layers",
                                                   "layer_types",
                                                   "partial_rotary_factor",
                                                   "rope_theta",
                                                   "text_config",
                                                   "attn_logit_softcapping",
                                                   "query_pre_attn_scalar",
                                                   "word_embed_proj_dim",
                                                   "do_layer_norm_before",
                                                   "enable_bias",
                                                   "original_max_position_embeddings",
                                                   "sliding_window_pattern",
                                                   "rope_local_base_freq",
                                                   "made_up_setting"};
    std::vector<std::string> keys;
    for (const auto& [key, value] : object.items()) keys.push_back(key);
    const std::string key = keys.empty() || below(4) == 0
                                ? kKeys[below(static_cast<int64_t>(kKeys.size()))]
                                : keys[below(static_cast<int64_t>(keys.size()))];
    Json& value = object[key];
    switch (below(8)) {
      case 0:
        object.erase(key);
        break;
      case 1:
        if (!keys.empty()) value = Json(object[keys[below(static_cast<int64_t>(keys.size()))]]);
        break;
      case 2:
        value = find_architecture_name();
        break;
      case 3:
        if (value.is_number()) value = value.get<double>() * (below(2) == 0 ? 2 : 0.5);
        break;
      case 4:
        if (value.is_number_integer() && std::abs(value.get<double>()) < 1e9) {
          value = value.get<int64_t>() + (below(2) == 0 ? 1 : -1);
        }
        break;
      case 5:
        if (value.is_object()) {
          mutate_once(value);
          break;
        }
        [[fallthrough]];
      default:
        value = any_value();
    }
  }

  std::string find_architecture_name() {
    static const std::vector<std::string> kTypes = {"llama",       "mistral", "qwen2",  "qwen3",
                                                    "phi3",        "phi4",    "gemma2", "gemma3",
                                                    "gemma3_text", "opt",     "bert"};
    return kTypes[below(static_cast<int64_t>(kTypes.size()))];
  }

  std::mt19937 random_;
};

struct Outcome {
  int64_t ran = 0, refused = 0;
};

Outcome try_mutations(int64_t per_fixture) {
  Outcome outcome;
  uint32_t seed = 0;
  at::set_num_threads(1);  // matrices this small are slower on two
  for (const Fixture& fixture : fixtures()) {
    HfFolder folder(fixture.path());
    folder.open_tensors();
    at::Tensor ids = fixture.expected("input_ids");
    ids = ids.narrow(1, 0, std::min<int64_t>(ids.size(1), 3));
    for (int64_t i = 0; i < per_fixture; ++i) {
      const Json config = Mutator(++seed).mutate(folder.config());
      INFO(fixture.name << ": " << to_json_line(config));
      try {
        const Decoder decoder =
            load_decoder(folder, parse_model_spec(config), at::kFloat, at::kCPU);
        const at::Tensor logits = forward_full(decoder, ids, false).logits;
        REQUIRE(at::isfinite(logits).all().item<bool>());
        ++outcome.ran;
      } catch (const InputError& error) {
        REQUIRE(std::string(error.what()).size() > 20);
        ++outcome.refused;
      }
    }
  }
  return outcome;
}

TEST_CASE("mutated configs end in an error or a result") {
  const Outcome outcome = try_mutations(150);
  // The mutations are fixed by their seeds; both outcomes must be common for the test to mean
  // anything.
  CHECK(outcome.ran > 1000);
  CHECK(outcome.refused > 1000);
}

TEST_CASE("mutated configs, many", "[.][long]") { CHECK(try_mutations(600).refused > 0); }

}  // namespace
}  // namespace littlebit
