// config.json key by key: the ends of every range, and for keys that no family reads the values
// that leave a model as it is beside those that do not.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/model_spec.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;

// What is said of a config of this family with that patch; "" where it is understood.
std::string said(const char* model_type, const Json& patch) {
  Json config = {{"model_type", model_type}};
  config.merge_patch(patch);
  try {
    parse_model_spec(config);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("every size has its range, ends included") {
  struct Range {
    const char* model_type;
    const char* key;
    int64_t low, high;
  };
  constexpr int64_t kSize = 1 << 24, kHeads = 1 << 16, kPositions = 1 << 30, kLayers = 4096;
  const Range ranges[] = {
      {"llama", "vocab_size", 1, kSize},
      {"llama", "hidden_size", 1, kSize},
      {"llama", "intermediate_size", 1, kSize},
      {"llama", "num_hidden_layers", 1, kLayers},
      {"llama", "num_attention_heads", 1, kHeads},
      {"llama", "num_key_value_heads", 1, kHeads},
      {"llama", "head_dim", 1, kHeads},
      {"llama", "max_position_embeddings", 1, kPositions},
      {"opt", "vocab_size", 1, kSize},
      {"opt", "hidden_size", 1, kSize},
      {"opt", "ffn_dim", 1, kSize},
      {"opt", "num_hidden_layers", 1, kLayers},
      {"opt", "num_attention_heads", 1, kHeads},
      {"opt", "max_position_embeddings", 1, kPositions},
      {"opt", "word_embed_proj_dim", 1, kSize},
      {"mistral", "sliding_window", 1, int64_t{1} << 40},
      {"gemma2", "sliding_window", 1, int64_t{1} << 40},
      {"gemma3_text", "sliding_window_pattern", 1, 1 << 20},
      {"phi3", "original_max_position_embeddings", 2, kPositions},
      {"phi3", "full_attn_mod", 1, 1},
      {"phi3", "interpolate_factor", 1, 1},
  };
  for (const Range& range : ranges) {
    INFO(range.model_type << " " << range.key);
    const std::string name = std::string("'") + range.key + "' is ";
    // At the ends another key may be at odds with this one; the range is not.
    for (const int64_t fine : {range.low, range.high}) {
      CHECK_THAT(said(range.model_type, {{range.key, fine}}), !Contains("an integer from"));
    }
    for (const int64_t wrong : {range.low - 1, range.high + 1, INT64_MIN, INT64_MAX}) {
      CHECK_THAT(said(range.model_type, {{range.key, wrong}}),
                 Contains(name) && Contains("an integer from"));
    }
    for (const Json& wrong : {Json(1.5), Json("1"), Json(true), Json(UINT64_MAX)}) {
      CHECK_THAT(said(range.model_type, {{range.key, wrong}}),
                 Contains(name) && Contains("an integer from"));
    }
  }
}

TEST_CASE("every other number has its range, ends included") {
  struct Range {
    const char* model_type;
    const char* key;
    double low, high;
  };
  const Range ranges[] = {
      {"llama", "rms_norm_eps", 0, 1},
      {"llama", "rope_theta", 1, 1e30},
      {"phi3", "partial_rotary_factor", 1e-6, 1},
      {"gemma2", "query_pre_attn_scalar", 1e-3, 1e9},
      {"gemma2", "attn_logit_softcapping", 1e-3, 1e9},
      {"gemma2", "final_logit_softcapping", 1e-3, 1e9},
      {"gemma3_text", "rope_local_base_freq", 1, 1e30},
  };
  for (const Range& range : ranges) {
    INFO(range.model_type << " " << range.key);
    for (const double fine : {range.low, range.high}) {
      CHECK_THAT(said(range.model_type, {{range.key, fine}}), !Contains("a number from"));
    }
    const double below = range.low > 0 ? range.low * 0.99 : -1e-9;
    for (const double wrong : {below, range.high * 1.01, -range.high}) {
      CHECK_THAT(said(range.model_type, {{range.key, wrong}}), Contains("a number from"));
    }
    for (const Json& wrong : {Json("1"), Json(true), Json(Json::array())}) {
      CHECK_THAT(said(range.model_type, {{range.key, wrong}}), Contains("a number from"));
    }
  }
}

TEST_CASE("sizes that no machine holds are refused, by the sum of all weights") {
  constexpr double kSize = 1 << 24, kPositions = 1 << 30;
  const auto of = [](double weights) { return "of " + format_digits(weights, 3) + " weights"; };
  // Heads, MLP, tables and learned positions, each where it is most of the sum.
  Json heads = {{"hidden_size", 1 << 24},
                {"num_hidden_layers", 4096},
                {"num_attention_heads", 300},
                {"num_key_value_heads", 100},
                {"head_dim", 64},
                {"intermediate_size", 1},
                {"vocab_size", 1}};
  CHECK_THAT(said("llama", heads),
             Contains(of(4096 * kSize * ((2 * 300 + 2 * 100) * 64 + 3) + 2 * kSize)));
  heads["num_hidden_layers"] = 1000;  // 0.86e15
  CHECK(said("llama", heads).empty());
  const Json mlp = {
      {"hidden_size", 1 << 24},   {"num_hidden_layers", 2}, {"num_attention_heads", 2},
      {"num_key_value_heads", 2}, {"head_dim", 2},          {"intermediate_size", 1 << 24},
      {"vocab_size", 1}};
  CHECK_THAT(said("llama", mlp), Contains(of(2 * kSize * (16 + 3 * kSize))));
  const Json tables = {{"hidden_size", 1 << 24},
                       {"word_embed_proj_dim", 1 << 24},
                       {"num_attention_heads", 1 << 16},
                       {"num_hidden_layers", 1},
                       {"ffn_dim", 1},
                       {"vocab_size", 1 << 24},
                       {"max_position_embeddings", 1 << 30}};
  CHECK_THAT(said("opt", tables),
             Contains(of(4 * kSize * kSize + 2 * kSize * kSize + kSize * kPositions)));
  CHECK(said("llama", {{"max_position_embeddings", 1 << 30}}).empty());  // no table of them
}

TEST_CASE("rope scalings need their numbers, whole and in their ranges") {
  const auto of = [](const Json& scaling) { return said("llama", {{"rope_scaling", scaling}}); };
  const Json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  CHECK(of(llama3).empty());
  CHECK(of({{"type", "linear"}, {"factor", 2}}).empty());
  CHECK(of({{"type", "dynamic"}, {"factor", 2}}).empty());
  for (const char* key :
       {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
    INFO(key);
    const std::string name = std::string("'rope_scaling.") + key + "' is ";
    Json scaling = llama3;
    scaling.erase(key);
    CHECK_THAT(of(scaling), Contains(name) && Contains("positive"));
    scaling[key] = nullptr;
    CHECK_THAT(of(scaling), Contains(name));
    for (const Json& wrong : {Json(0), Json(-1), Json("4"), Json(1e10)}) {
      scaling[key] = wrong;
      CHECK_THAT(of(scaling), Contains(name));
    }
  }
  Json scaling = llama3;
  for (const double high : {1.0, 0.5}) {  // not above low_freq_factor
    scaling["high_freq_factor"] = high;
    CHECK_THAT(of(scaling), Contains("more than low_freq_factor"));
  }
  scaling = llama3;
  scaling["original_max_position_embeddings"] = 1;
  CHECK(of(scaling).empty());
  for (const double end : {1e-6, 1e9}) {
    CHECK(of({{"type", "linear"}, {"factor", end}}).empty());
  }
  for (const double outside : {0.9e-6, 1.1e9}) {
    CHECK_THAT(of({{"type", "linear"}, {"factor", outside}}), Contains("rope_scaling.factor"));
  }
  CHECK_THAT(of({{"factor", 2}}), Contains("rope_scaling.type"));
  CHECK_THAT(of({{"type", "linear"}, {"rope_type", "dynamic"}, {"factor", 2}}),
             Contains("the same as rope_type"));
  CHECK_THAT(of({{"type", "ntk"}, {"factor", 2}}), Contains("a supported rope type"));
}

TEST_CASE("of keys that no family reads every kind has values that mean nothing, and others") {
  struct Case {
    const char* key;
    std::vector<Json> nothing, changes;
  };
  const Json null, list = Json::array(), object = Json::object();
  // What switches nothing on, whatever the key.
  const std::vector<Json> off = {null, false, 0, 0.0, "", list, object};
  const Case cases[] = {
      // A number that is neutral, among them "at most one".
      {"rope_ratio", {1, 1.0}, {2, 0.5, -1, true, "1", Json{1}, Json{{"a", 1}}}},
      {"logits_scaling", {1}, {8, "x", true}},
      {"num_experts", {1, 0.5, -2}, {2, 8, 1.5, "8", true, Json{1}}},
      {"moe_layers", {1}, {2, "all"}},
      {"my_experts_count", {1}, {4}},
      // What no value but "off" makes neutral.
      {"use_moe", {}, {true, 1, "yes"}},
      {"mamba_d_state", {}, {16, true}},
      {"attention_sinks", {}, {4}},
      {"layers_block_type", {}, {Json{"attention"}}},
      // Names.
      {"position_embedding_type", {"rope", "rotary", "absolute", "learned"}, {"alibi", 1, true}},
      {"norm_type", {"rms", "RMSNorm", "rms_norm", "RMS-Norm", 7}, {"layernorm", "rmsnorm2d"}},
      // Lists.
      {"no_rope_layers", {Json{1, 1}, Json{1}}, {Json{1, 2}, Json{0}, 1, "1"}},
      {"layer_types",
       {Json{"full_attention"}, Json{"full_attention", "full_attention"}},
       {Json{"full_attention", "other"}, "full_attention", 1}},
      // Flags.
      {"alibi_bias_max", {8, "x"}, {true}},
      {"use_sinks", {}, {true}},
      {"unheard_of", {1, true, "x"}, {}},
  };
  for (const Case& c : cases) {
    for (const Json& value : off) {
      INFO(c.key << " = " << value);
      CHECK(said("llama", {{c.key, value}}).empty());
    }
    for (const Json& value : c.nothing) {
      INFO(c.key << " = " << value);
      CHECK(said("llama", {{c.key, value}}).empty());
    }
    for (const Json& value : c.changes) {
      INFO(c.key << " = " << value);
      CHECK_THAT(said("llama", {{c.key, value}}),
                 Contains("not supported") && Contains(std::string("'") + c.key + "' = "));
    }
  }
  // True by default: what is off elsewhere switches these off.
  for (const char* key : {"is_causal", "use_rope"}) {
    INFO(key);
    CHECK_THAT(said("llama", {{key, false}}), Contains("not supported"));
    for (const Json& value : {Json(true), Json(1), Json("yes")}) {
      CHECK(said("llama", {{key, value}}).empty());
    }
  }
  // Inside of one object only, wherever that lies.
  const Json linear = {{"type", "linear"}, {"factor", 2.0}, {"alpha", 3.0}};
  CHECK_THAT(said("llama", {{"rope_scaling", linear}}), Contains("'rope_scaling.alpha' = 3"));
  CHECK(said("llama", {{"alpha", 3.0}}).empty());
}

TEST_CASE("a matrix of 16 bits and more is none that was quantised") {
  for (const char* key : {"weight_bits", "input_bits", "w_bit", "wbits"}) {
    INFO(key);
    for (const Json& whole : {Json(16), Json(32), Json(16.0)}) {
      CHECK(said("llama", {{key, whole}}).empty());
    }
    for (const Json& few : {Json(1), Json(4), Json(15), Json(15.9), Json("16"), Json(true)}) {
      CHECK_THAT(said("llama", {{key, few}}), Contains("already quantised"));
    }
  }
  const auto how = [](const Json& about) {
    return said("llama", {{"quantization_config", about}});
  };
  CHECK_THAT(how({{"bits", 1}}), Contains("(1 bit);"));
  CHECK_THAT(how({{"bits", 2}}), Contains("(2 bits);"));
  CHECK_THAT(how({{"bits", 1.58}}), Contains("(1.58 bits);"));
  CHECK_THAT(how({{"load_in_8bit", true}}), Contains("(8 bits);"));
  CHECK_THAT(how({{"load_in_4bit", true}, {"load_in_8bit", false}}), Contains("(4 bits);"));
  CHECK_THAT(how({{"load_in_8bit", 1}}), Contains("quantised; take"));
  CHECK_THAT(how({{"quant_method", 7}}), Contains("quantised; take"));
  CHECK_THAT(how({{"quant_method", "gptq"}, {"bits", 3}}), Contains("(gptq, 3 bits);"));
  // However deep the number lies, within reason.
  Json deep = {{"bits", 5}};
  for (int depth = 1; depth <= 6; ++depth) deep = {{"inner", deep}};
  CHECK_THAT(how(deep), Contains("(5 bits);"));
  CHECK_THAT(how({{"inner", deep}}), Contains("quantised; take"));
}

}  // namespace
}  // namespace littlebit
