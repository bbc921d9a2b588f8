// config.json -> ModelSpec: defaults of missing keys, old and new spellings, what is refused and
// how.
#include <catch2/catch.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/model_spec.h"
#include "support/paths.h"

namespace littlebit {
namespace {

ModelSpec parse(const char* text) { return parse_model_spec(parse_json(text, "test")); }

Json golden_config(const std::string& name) {
  const char* set = name.ends_with("_v5") ? "newer_models" : "models";
  return read_json_file(std::filesystem::path(littlebit::test::kSourceDir) / "tests/golden" / set /
                        name / "config.json");
}

struct Sizes {
  int64_t vocab, hidden, intermediate, layers, heads, kv_heads, head_dim, positions;
};

void check_sizes(const ModelSpec& spec, const Sizes& want) {
  INFO(spec.model_type);
  CHECK(spec.vocab_size == want.vocab);
  CHECK(spec.hidden_size == want.hidden);
  CHECK(spec.intermediate_size == want.intermediate);
  CHECK(spec.num_layers == want.layers);
  CHECK(spec.num_heads == want.heads);
  CHECK(spec.num_kv_heads == want.kv_heads);
  CHECK(spec.head_dim == want.head_dim);
  CHECK(spec.max_positions == want.positions);
}

TEST_CASE("an empty config means Hugging Face's defaults") {
  check_sizes(parse(R"({"model_type":"llama"})"), {32000, 4096, 11008, 32, 32, 32, 128, 2048});
  check_sizes(parse(R"({"model_type":"mistral"})"), {32000, 4096, 14336, 32, 32, 8, 128, 131072});
  check_sizes(parse(R"({"model_type":"qwen2"})"), {151936, 4096, 22016, 32, 32, 32, 128, 32768});
  check_sizes(parse(R"({"model_type":"qwen3"})"), {151936, 4096, 22016, 32, 32, 32, 128, 32768});
  check_sizes(parse(R"({"model_type":"phi3"})"), {32064, 3072, 8192, 32, 32, 32, 96, 4096});
  check_sizes(parse(R"({"model_type":"gemma2"})"), {256000, 2304, 9216, 26, 8, 4, 256, 8192});
  check_sizes(parse(R"({"model_type":"gemma3_text"})"),
              {262208, 2304, 9216, 26, 8, 4, 256, 131072});
  check_sizes(parse(R"({"model_type":"opt"})"), {50272, 768, 3072, 12, 12, 12, 64, 2048});

  const ModelSpec llama = parse(R"({"model_type":"llama"})");
  CHECK(llama.rope.theta == 10000);
  CHECK(llama.norm_eps == 1e-6);
  CHECK_FALSE(llama.tied_embeddings);
  CHECK(parse(R"({"model_type":"phi3"})").norm_eps == 1e-5);
  CHECK(parse(R"({"model_type":"mistral"})").layer_window(31) == 4096);
  CHECK(parse(R"({"model_type":"opt"})").tied_embeddings);
}

TEST_CASE("null and missing mean different things where Hugging Face says so") {
  CHECK(parse(R"({"model_type":"mistral","num_key_value_heads":null})").num_kv_heads == 32);
  CHECK(parse(R"({"model_type":"mistral","sliding_window":null})").window.empty());
  CHECK(parse(R"({"model_type":"llama","rope_scaling":null})").rope.kind == RopeKind::kDefault);
  CHECK(parse(R"({"model_type":"llama","head_dim":null,"hidden_size":96,"num_attention_heads":4})")
            .head_dim == 24);
  const ModelSpec capped = parse(R"({"model_type":"gemma2"})");
  CHECK(capped.attention_softcap == 50);
  CHECK(capped.logit_softcap == 30);
  const ModelSpec free = parse(
      R"({"model_type":"gemma2","attn_logit_softcapping":null,"final_logit_softcapping":null})");
  CHECK(free.attention_softcap == 0);
  CHECK(free.logit_softcap == 0);
}

TEST_CASE("windows fall on the right layers") {
  const auto sliding = [](const char* text) {
    std::string layers;
    const ModelSpec spec = parse(text);
    for (int64_t i = 0; i < spec.num_layers; ++i) layers += spec.layer_window(i) > 0 ? 'w' : '-';
    return layers;
  };
  CHECK(sliding(R"({"model_type":"gemma2","num_hidden_layers":4})") == "w-w-");
  CHECK(sliding(R"({"model_type":"gemma3_text","num_hidden_layers":8})") == "wwwww-ww");
  CHECK(
      sliding(R"({"model_type":"gemma3_text","num_hidden_layers":3,"sliding_window_pattern":1})") ==
      "---");
  CHECK(sliding(R"({"model_type":"qwen2","num_hidden_layers":3,"sliding_window":8})") == "---");
  CHECK(
      sliding(
          R"({"model_type":"qwen2","num_hidden_layers":3,"sliding_window":8,"use_sliding_window":true,"max_window_layers":2})") ==
      "--w");
  CHECK(
      sliding(
          R"({"model_type":"gemma2","num_hidden_layers":3,"layer_types":["full_attention","full_attention","sliding_attention"]})") ==
      "--w");
  CHECK(sliding(R"({"model_type":"phi3","num_hidden_layers":2})") == "--");
  CHECK(sliding(R"({"model_type":"phi3","num_hidden_layers":2,"sliding_window":9})") == "ww");
}

TEST_CASE("rope scalings under old and new key names are the same") {
  for (const char* kind : {"linear", "dynamic"}) {
    const Json base = {{"model_type", "llama"}, {"max_position_embeddings", 100}};
    Json older = base, newer = base, both = base;
    older["rope_scaling"] = {{"type", kind}, {"factor", 2}};
    newer["rope_scaling"] = {{"rope_type", kind}, {"factor", 2.0}};
    both["rope_scaling"] = {{"rope_type", kind}, {"type", kind}, {"factor", 2.0}};
    CHECK(parse_model_spec(older).rope.kind == parse_model_spec(newer).rope.kind);
    CHECK(parse_model_spec(both).rope.kind == parse_model_spec(newer).rope.kind);
    CHECK(parse_model_spec(older).rope.factor == 2);
  }
  const char* phi =
      R"({"model_type":"phi3","num_attention_heads":32,"hidden_size":128,"max_position_embeddings":131072,
      "rope_scaling":{"type":"%s","short_factor":[1,2],"long_factor":[3,4]}})";
  for (const char* name : {"longrope", "su", "yarn"}) {
    std::string text = phi;
    text.replace(text.find("%s"), 2, name);
    const RopeSpec rope = parse(text.c_str()).rope;
    CHECK(rope.kind == RopeKind::kLongrope);
    CHECK(rope.long_factor == std::vector<double>{3, 4});
    CHECK(rope.attention_factor == Approx(std::sqrt(1 + std::log(32) / std::log(4096))));
  }
}

TEST_CASE("rope_parameters of newer files say what rope_theta and rope_scaling say in older ones") {
  const RopeSpec rope = parse(R"({"model_type":"llama","rope_parameters":{"rope_type":"llama3",
      "rope_theta":5e5,"factor":8,"low_freq_factor":1,"high_freq_factor":4,
      "original_max_position_embeddings":16}})")
                            .rope;
  CHECK(rope.kind == RopeKind::kLlama3);
  CHECK(rope.theta == 5e5);
  CHECK(rope.factor == 8);
  CHECK(rope.original_max_positions == 16);
  const RopeSpec plain =
      parse(R"({"model_type":"qwen2","rope_theta":1e6,"rope_parameters":{}})").rope;
  CHECK(plain.kind == RopeKind::kDefault);
  CHECK(plain.theta == 1e6);
  const RopeSpec part =
      parse(R"({"model_type":"phi3","rope_parameters":{"partial_rotary_factor":0.75}})").rope;
  CHECK(part.rotary_dim == 72);
  const ModelSpec gemma = parse(R"({"model_type":"gemma3_text","rope_parameters":{
      "full_attention":{"rope_type":"linear","factor":8,"rope_theta":2e6},
      "sliding_attention":{"rope_type":"default","rope_theta":5e3}}})");
  CHECK(gemma.rope.kind == RopeKind::kLinear);
  CHECK(gemma.rope.theta == 2e6);
  CHECK(gemma.local_rope.theta == 5e3);
  // Longrope's scale of attention is that of `factor` where one is given beside the lists.
  const char* phi = R"({"model_type":"phi3","hidden_size":128,"num_attention_heads":32,
      "max_position_embeddings":131072,"rope_parameters":{"rope_type":"longrope",
      "short_factor":[1,2],"long_factor":[3,4],"factor":2}})";
  CHECK(parse(phi).rope.attention_factor == Approx(std::sqrt(1 + std::log(2) / std::log(4096))));
}

struct Refusal {
  const char* fixture;
  const char* patch;     // merged into its config.json
  const char* names[2];  // the message must hold both
};

TEST_CASE("what is not implemented is refused by name") {
  const Refusal refusals[] = {
      {"llama_gqa", R"({"model_type":"mamba"})", {"mamba", "not supported"}},
      {"llama_gqa", R"({"model_type":null})", {"model_type", "missing"}},
      {"llama_gqa", R"({"model_type":7})", {"model_type", "7"}},
      {"llama_gqa", R"({"hidden_act":"quick_gelu"})", {"hidden_act", "quick_gelu"}},
      {"gemma2", R"({"hidden_activation":"mish"})", {"hidden_activation", "mish"}},
      {"opt", R"({"activation_function":"tanh"})", {"activation_function", "tanh"}},
      {"llama_gqa",
       R"({"rope_scaling":{"rope_type":"ntk","factor":4.0}})",
       {"rope_scaling.rope_type", "ntk"}},
      {"llama_gqa", R"({"rope_scaling":{"type":"su","factor":4.0}})", {"rope_scaling.type", "su"}},
      {"llama_gqa", R"({"rope_scaling":{"factor":4.0}})", {"rope_scaling", "linear"}},
      {"llama_gqa",
       R"({"rope_scaling":{"type":"linear","rope_type":"dynamic","factor":4.0}})",
       {"rope_scaling.type", "rope_type"}},
      {"llama_gqa", R"({"rope_scaling":{"type":"linear"}})", {"rope_scaling.factor", "positive"}},
      {"llama_gqa",
       R"({"rope_scaling":{"type":"linear","factor":0}})",
       {"rope_scaling.factor", "0"}},
      {"llama_gqa",
       R"({"rope_scaling":{"type":"linear","factor":2,"mrope_section":[1]}})",
       {"rope_scaling.mrope_section", "not supported"}},
      {"llama_gqa", R"({"rope_scaling":"linear"})", {"rope_scaling", "object"}},
      {"llama_v5",
       R"({"rope_parameters":{"rope_type":"ntk"}})",
       {"rope_parameters.rope_type", "ntk"}},
      {"llama_v5",
       R"({"rope_parameters":{"mrope_section":[1]}})",
       {"rope_parameters.mrope_section", "not supported"}},
      {"llama_v5", R"({"rope_theta":7})", {"rope_parameters.rope_theta", "the same as rope_theta"}},
      {"llama_v5",
       R"({"rope_scaling":{"type":"linear","factor":2}})",
       {"rope_scaling", "the same as rope_parameters"}},
      {"llama_v5",
       R"({"rope_parameters":{"partial_rotary_factor":0.5}})",
       {"rope_parameters.partial_rotary_factor", "0.5"}},
      {"llama3_v5",
       R"({"rope_parameters":{"factor":null}})",
       {"rope_parameters.factor", "positive"}},
      {"gemma3_v5",
       R"({"rope_parameters":{"sliding_attention":{"rope_type":"linear","factor":2}}})",
       {"rope_parameters.sliding_attention.rope_type", "default"}},
      {"gemma3_v5",
       R"({"rope_parameters":{"rope_theta":5}})",
       {"rope_parameters.rope_theta", "supported only inside"}},
      {"llama31_rope",
       R"({"rope_scaling":{"high_freq_factor":0.5}})",
       {"high_freq_factor", "low_freq_factor"}},
      {"llama31_rope",
       R"({"rope_scaling":{"original_max_position_embeddings":null}})",
       {"original_max_position_embeddings", "positive"}},
      {"phi4_mini_long",
       R"({"rope_scaling":{"long_factor":[1,2]}})",
       {"rope_scaling.long_factor", "6"}},
      {"phi4_mini_long",
       R"({"rope_scaling":{"short_factor":[1,1,1,1,1,-1]}})",
       {"rope_scaling.short_factor", "positive"}},
      {"llama_gqa", R"({"partial_rotary_factor":0.5})", {"partial_rotary_factor", "0.5"}},
      {"llama_gqa", R"({"rope_theta":0})", {"rope_theta", "0"}},
      {"llama_gqa", R"({"clip_qkv":8.0,"logit_scale":0.0625})", {"clip_qkv", "logit_scale"}},
      {"llama_gqa", R"({"num_local_experts":8})", {"num_local_experts", "8"}},
      {"llama_gqa", R"({"quantization_config":{"bits":4}})", {"quantization_config", "bits"}},
      {"mistral_window", R"({"attention_bias":true})", {"attention_bias", "true"}},
      {"qwen2", R"({"use_mrope":true})", {"use_mrope", "true"}},
      {"qwen3",
       R"({"layer_types":["full_attention","linear_attention"]})",
       {"layer_types", "sliding_attention"}},
      {"qwen3", R"({"layer_types":["full_attention"]})", {"layer_types", "2"}},
      {"phi4", R"({"full_attn_mod":2})", {"full_attn_mod", "2"}},
      {"phi4", R"({"lm_head_bias":true})", {"lm_head_bias", "true"}},
      {"gemma3", R"({"attn_logit_softcapping":30.0})", {"attn_logit_softcapping", "30"}},
      {"gemma3",
       R"({"use_bidirectional_attention":true})",
       {"use_bidirectional_attention", "true"}},
      {"gemma3", R"({"sliding_window_pattern":0})", {"sliding_window_pattern", "0"}},
      {"gemma3", R"({"query_pre_attn_scalar":0})", {"query_pre_attn_scalar", "0"}},
      {"opt",
       R"({"layer_norm_elementwise_affine":false})",
       {"layer_norm_elementwise_affine", "false"}},
      {"opt", R"({"is_encoder_decoder":true})", {"is_encoder_decoder", "true"}},
      {"opt", R"({"num_attention_heads":7})", {"num_attention_heads", "divisor"}},
      {"llama_gqa", R"({"num_attention_heads":7})", {"num_attention_heads", "multiple"}},
      {"llama_gqa", R"({"head_dim":7})", {"7", "even"}},
      {"llama_gqa", R"({"num_hidden_layers":0})", {"num_hidden_layers", "0"}},
      {"llama_gqa", R"({"num_hidden_layers":9000000000000000000})", {"num_hidden_layers", "4,096"}},
      {"llama_gqa", R"({"hidden_size":64.5})", {"hidden_size", "64.5"}},
      {"llama_gqa", R"({"hidden_size":"64"})", {"hidden_size", "\"64\""}},
      {"llama_gqa", R"({"tie_word_embeddings":"no"})", {"tie_word_embeddings", "true or false"}},
      {"llama_gqa", R"({"rms_norm_eps":-1})", {"rms_norm_eps", "-1"}},
  };
  for (const Refusal& refusal : refusals) {
    Json config = golden_config(refusal.fixture);
    CHECK_NOTHROW(parse_model_spec(config));
    config.merge_patch(parse_json(refusal.patch, "patch"));
    INFO(refusal.fixture << " " << refusal.patch);
    CHECK_THROWS_AS(parse_model_spec(config), InputError);
    CHECK_THROWS_WITH(parse_model_spec(config),
                      Catch::Contains(refusal.names[0]) && Catch::Contains(refusal.names[1]));
  }
}

TEST_CASE("a multimodal Gemma 3 is read with the same care") {
  const Json text = golden_config("gemma3");
  const Json whole = {
      {"model_type", "gemma3"}, {"text_config", text}, {"vision_config", {{"hidden_size", 8}}}};
  const auto refused = [&](const char* patch, const char* name) {
    Json config = whole;
    config.merge_patch(parse_json(patch, "patch"));
    CHECK_THROWS_WITH(parse_model_spec(config), Catch::Contains(name));
  };
  CHECK_NOTHROW(parse_model_spec(whole));
  refused(R"({"text_config":{"hidden_size":-1}})", "text_config.hidden_size");
  refused(R"({"text_config":{"clip_qkv":1}})", "text_config.clip_qkv");
  refused(R"({"text_config":{"model_type":"llama"}})", "text_config.model_type");
  refused(R"({"text_config":3})", "text_config");
  refused(R"({"audio_config":{"hidden_size":8}})", "audio_config");
  refused(R"({"tie_word_embeddings":false})", "tie_word_embeddings");
}

TEST_CASE("what no class reads is passed over and named, as transformers passes over it") {
  const auto passed_over = [](const char* fixture, const char* patch) {
    Json config = golden_config(fixture);
    config.merge_patch(parse_json(patch, "patch"));
    return parse_model_spec(config).passed_over;
  };
  using Names = std::vector<std::string>;
  CHECK(passed_over("llama_gqa", "{}").empty());
  CHECK(passed_over("llama_gqa", R"({"colour":"blue","sliding_window":64})") ==
        Names{"'colour' = \"blue\"", "'sliding_window' = 64"});
  CHECK(passed_over("llama_gqa", R"({"rope_scaling":{"type":"linear","factor":2,"tuned":true}})") ==
        Names{"'rope_scaling.tuned' = true"});
  CHECK(passed_over("gemma3_v5", R"({"colour":1,"rope_parameters":{"full_attention":{"a":1}}})") ==
        Names{"'rope_parameters.full_attention.a' = 1", "'colour' = 1"});
  // SmolLM2, Llama 1 as converted in 2023, and what trainers leave behind.
  for (const char* patch :
       {R"({"is_llama_config":true,"rope_interleaved":false})", R"({"max_sequence_length":2048})",
        R"({"tokenizer_model_max_length":4096,"model_max_length":4096,"n_ctx":2048})",
        R"({"seq_length":8192,"use_flash_attn":true,"neftune_noise_alpha":5})",
        R"({"gradient_checkpointing":true,"torch_dtype":"float16","dtype":"bfloat16"})"}) {
    INFO(patch);
    CHECK(passed_over("llama_gqa", patch).empty());
  }
}

TEST_CASE("two spellings of one setting: equal ones are fine, others are named") {
  const auto passed_over = [](const char* fixture, const Json& patch) {
    Json config = golden_config(fixture);
    config.merge_patch(patch);
    return parse_model_spec(config).passed_over.size();
  };
  const Json llama = golden_config("llama_gqa");
  CHECK(passed_over("llama_gqa", {{"n_layer", llama["num_hidden_layers"]}}) == 0);
  CHECK(passed_over("llama_gqa", {{"n_layer", 77}}) == 1);
  CHECK(passed_over("opt", {{"intermediate_size", golden_config("opt")["ffn_dim"]}}) == 0);
  CHECK(passed_over("opt", {{"hidden_act", golden_config("opt")["activation_function"]}}) == 0);
  CHECK(passed_over("opt", {{"hidden_act", "tanh"}}) == 1);
  CHECK(passed_over("gemma2",
                    {{"sliding_window_size", golden_config("gemma2")["sliding_window"]}}) == 0);
  // rope_scaling beside rope_parameters, saying the same or less.
  Json both = golden_config("llama3_v5");
  const ModelSpec alone = parse_model_spec(both);
  Json scaling = both["rope_parameters"];
  scaling.erase("rope_theta");
  scaling["type"] = scaling["rope_type"];
  scaling.erase("rope_type");
  both["rope_scaling"] = scaling;
  both["rope_theta"] = both["rope_parameters"]["rope_theta"];
  CHECK(parse_model_spec(both).rope.factor == alone.rope.factor);
  CHECK(parse_model_spec(both).rope.kind == RopeKind::kLlama3);
  both["rope_scaling"]["factor"] = 3;
  CHECK_THROWS_WITH(parse_model_spec(both), Catch::Contains("the same as rope_parameters"));
}

TEST_CASE("a quantised model is called that, with how as far as config.json says") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"quantization_config":{"bits":4,"group_size":128,"quant_method":"awq"}})",
       "(awq, 4 bits)"},
      {R"({"quantization_config":{"load_in_4bit":true,"quant_method":"bitsandbytes"}})",
       "(bitsandbytes, 4 bits)"},
      {R"({"quantization":{"bits":8,"group_size":64},"quantization_config":{"bits":8}})",
       "(8 bits)"},
      {R"({"quantization_config":{"quant_method":"fp8","weight_block_size":[128,128]}})", "(fp8)"},
      {R"({"quantization_config":{"quant_method":"compressed-tensors",
          "config_groups":{"group_0":{"weights":{"num_bits":4}}}}})",
       "(compressed-tensors, 4 bits)"},
      {R"({"compression_config":{"format":"pack"}})", "already quantised; take the original"},
      {R"({"weight_bits":1,"input_bits":8})", "(1 bit)"},
  };
  for (const auto& [patch, words] : cases) {
    Json config = golden_config("llama_gqa");
    config.merge_patch(parse_json(patch, "patch"));
    INFO(patch);
    CHECK_THROWS_WITH(parse_model_spec(config), Catch::Contains("already quantised") &&
                                                    Catch::Contains(words) &&
                                                    Catch::Contains("take the original"));
  }
  Json config = golden_config("llama_gqa");
  config.merge_patch(parse_json(R"({"weight_bits":16,"quantization_config":{}})", "patch"));
  CHECK_NOTHROW(parse_model_spec(config));
}

TEST_CASE(
    "what marks another architecture under a known model_type is refused, neutral values not") {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"num_experts_per_tok":2})", R"({"num_local_experts":1})"},
      {R"({"kv_lora_rank":512})", R"({"q_lora_rank":null})"},
      {R"({"layer_types":["full_attention","linear_attention"]})",
       R"({"layer_types":["full_attention","full_attention"]})"},
      {R"({"rope_interleaved":true})", R"({"position_embedding_type":"rope"})"},
      {R"({"rope_condense_ratio":8})", R"({"rope_condense_ratio":1})"},
      {R"({"logits_scaling":8.0})", R"({"logits_scaling":1.0,"embedding_multiplier":1})"},
      {R"({"attn_logit_softcapping":30})", R"({"final_logit_softcapping":null})"},
      {R"({"use_qk_norm":true})", R"({"use_qk_norm":false})"},
      {R"({"is_causal":false})", R"({"is_causal":true})"},
      {R"({"no_rope_layers":[1,0]})", R"({"no_rope_layers":[1,1]})"},
      {R"({"pruned_heads":{"0":[1]}})", R"({"pruned_heads":{}})"},
      {R"({"norm_type":"layernorm"})", R"({"norm_type":"RMSNorm"})"},
      {R"({"rope_scaling":{"type":"dynamic","factor":2,"alpha":1000}})", R"({"alpha":1000})"},
  };
  for (const auto& [refused, fine] : cases) {
    INFO(refused << " " << fine);
    Json config = golden_config("llama_gqa");
    config.merge_patch(parse_json(refused, "patch"));
    CHECK_THROWS_WITH(parse_model_spec(config), Catch::Contains("not supported"));
    config = golden_config("llama_gqa");
    config.merge_patch(parse_json(fine, "patch"));
    CHECK_NOTHROW(parse_model_spec(config));
  }
}

TEST_CASE(
    "all settings that change numbers are named at once, harmless and switched-off ones are not") {
  Json config = golden_config("llama_gqa");
  config.merge_patch(parse_json(
      R"({"_name_or_path":"x","attention_dropout":0.1,"pretraining_tp":2,"use_mrope":false,
      "scale_emb":0,"quant_func":"SmoothSign","eff_bit":0.55,"transformers_version":"9","torch_dtype":"float64",
      "architectures":["Anything"],"quantization_config":null,"mlp_only_layers":[]})",
      "patch"));
  CHECK_NOTHROW(parse_model_spec(config));
  config["alibi"] = true;
  config["logit_scale"] = 0.5;
  CHECK_THROWS_WITH(parse_model_spec(config),
                    Catch::Contains("'alibi' = true, 'logit_scale' = 0.5"));
}

TEST_CASE("published configs are understood") {
  struct Published {
    const char* name;
    int64_t linear_weights;  // of all blocks, counted by hand from the sizes
  };
  const Published all[] = {{"Qwen2-1.5B-Instruct", 1310195712},
                           {"Qwen2-7B-Instruct", 6525288448},
                           {"Qwen2.5-0.5B-Instruct", 357826560},
                           {"Qwen2.5-7B-Instruct", 6525288448},
                           {"Qwen3-1.7B", 1409286144},
                           {"Qwen3-4B", 3633315840},
                           {"Mistral-7B-Instruct-v0.2", 6979321856},
                           {"phi-4", 13631488000},
                           {"phi-4-mini-reasoning", 3221225472},
                           {"phi3.5-mini-instruct", 3623878656}};
  for (const Published& published : all) {
    INFO(published.name);
    const Json config =
        read_json_file(std::filesystem::path(littlebit::test::kSourceDir) / "tests/golden/configs" /
                       (std::string(published.name) + ".json"));
    Decoder decoder = empty_decoder(parse_model_spec(config), at::kFloat, at::kCPU);
    int64_t weights = 0;
    decoder.visit_linears([&](LinearSlot& slot) { weights += slot.d_in * slot.d_out; });
    CHECK(weights == published.linear_weights);
  }
}

TEST_CASE("the table of architectures has no double entries") {
  for (const Architecture& a : architectures()) CHECK(&find_architecture(a.model_type) == &a);
}

}  // namespace
}  // namespace littlebit
