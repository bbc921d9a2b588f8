// A key is harmless when it stands in the tables of harmless_keys.cpp. It is refused (here) when it
// is known to change logits or gradients in some model and is not implemented, or marks another
// architecture under a supported model_type. What stands in neither is passed over with a warning,
// as Hugging Face's classes pass over what they do not read.
#include "known_keys.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "harmless_keys.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

using Neutral = bool (*)(const Json& value);

bool is_number(const Json& value, double number) {
  return value.is_number() && value.get<double>() == number;
}
bool never(const Json&) { return false; }
bool one(const Json& value) { return is_number(value, 1); }
bool at_most_one(const Json& value) { return value.is_number() && value.get<double>() <= 1; }
bool not_true(const Json& value) { return !value.is_boolean(); }
bool true_value(const Json& value) { return value != false; }
bool rotary(const Json& value) {
  return value == "rope" || value == "rotary" || value == "absolute" || value == "learned";
}
bool rms(const Json& value) {
  if (!value.is_string()) return true;
  std::string name;
  for (const char c : value.get<std::string>()) {
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return name == "rms" || name == "rmsnorm";
}
bool all_full_attention(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(),
                                         [](const Json& kind) { return kind == "full_attention"; });
}
bool all_ones(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), one);
}

// Keys that change the numbers. A `*` stands for any text at an end of the key; with a dot in it,
// the key is meant inside of that object only.
struct ChangingKey {
  const char* key;
  const char* what;
  Neutral neutral = never;  // values beyond those that are off
};
constexpr char kExperts[] = "a mixture of experts";
constexpr char kState[] = "layers with a state instead of attention";
constexpr char kLatentAttention[] = "latent attention";
constexpr char kRotary[] = "another rotary embedding";
constexpr char kScaled[] = "scaled activations";
constexpr char kCapped[] = "capped or clipped numbers";
constexpr char kNorms[] = "other norms";
constexpr char kBiases[] = "biases that this family does not have";
constexpr char kMask[] = "attention that sees other positions";
constexpr char kParallel[] = "attention and MLP side by side";
constexpr char kShared[] = "layers that share tensors";
constexpr char kEncoder[] = "an encoder beside the decoder";

constexpr ChangingKey kChanging[] = {
    {"*expert*", kExperts, at_most_one},
    {"moe_*", kExperts, at_most_one},
    {"*_moe", kExperts},
    {"moe", kExperts},
    {"mamba_*", kState},
    {"ssm_*", kState},
    {"rwkv*", kState},
    {"linear_attn*", kState},
    {"linear_num_*", kState},
    {"hybrid_override_pattern", kState},
    {"layers_block_type", kState},
    {"attn_layer_period", kState, one},
    {"full_attention_interval", kState, one},
    {"kv_lora_rank", kLatentAttention},
    {"q_lora_rank", kLatentAttention},
    {"qk_rope_head_dim", kLatentAttention},
    {"block_configs", "blocks of different shapes"},
    {"layer_sharing", kShared},
    {"num_kv_shared_layers", kShared},
    {"cla_share_factor", kShared, one},
    {"use_cla", kShared},
    {"pruned_heads", "heads that were taken out"},
    {"is_encoder_decoder", kEncoder},
    {"add_cross_attention", kEncoder},
    {"cross_attention_*", kEncoder},
    {"audio_config", kEncoder},
    {"speech_config", kEncoder},
    {"vision_config", kEncoder},
    {"alibi", "positions by ALiBi"},
    {"use_alibi", "positions by ALiBi"},
    {"alibi_*", "positions by ALiBi", not_true},
    {"position_embedding_type", "other position embeddings", rotary},
    {"no_rope_layers", "layers without rotary embedding", all_ones},
    {"no_rope_layer_interval", "layers without rotary embedding"},
    {"use_rope", "no rotary embedding", true_value},
    {"rotary_pct", kRotary, one},
    {"rope_pct", kRotary, one},
    {"rope_percent", kRotary, one},
    {"rotary_percent", kRotary, one},
    {"rope_ratio", kRotary, one},
    {"rope_condense_ratio", kRotary, one},
    {"rope_interleaved", kRotary},
    {"rope_interleave", kRotary},
    {"rotary_emb_interleaved", kRotary},
    {"use_mrope", kRotary},
    {"mrope_*", kRotary},
    {"rope_scaling.alpha", kRotary, one},
    {"rope_parameters.alpha", kRotary, one},
    {"logit_scale", kScaled, one},
    {"logits_scaling", kScaled, one},
    {"logits_scale", kScaled, one},
    {"embedding_multiplier", kScaled, one},
    {"residual_multiplier", kScaled, one},
    {"residual_scale", kScaled, one},
    {"attention_multiplier", kScaled},
    {"attention_scale", kScaled},
    {"attn_scale", kScaled},
    {"softmax_scale", kScaled},
    {"key_multiplier", kScaled, one},
    {"lm_head_multiplier", kScaled, one},
    {"output_multiplier_scale", kScaled, one},
    {"embedding_multiplier_scale", kScaled, one},
    {"query_pre_attn_scalar", kScaled},
    {"scale_emb", kScaled, one},
    {"scale_depth", kScaled},
    {"dim_model_base", kScaled},
    {"scale_embedding", kScaled},
    {"scale_embeddings", kScaled},
    {"embedding_scale", kScaled, one},
    {"scale_attn_by_inverse_layer_idx", kScaled},
    {"mup_*", kScaled, one},
    {"attn_temperature_tuning", kScaled},
    {"clip_qkv", kCapped},
    {"*softcap*", kCapped},
    {"*soft_cap*", kCapped},
    {"*qk_norm*", kNorms},
    {"*qk_layernorm*", kNorms},
    {"*sandwich_norm*", kNorms},
    {"use_post_norm", kNorms},
    {"norm_type", kNorms, rms},
    {"normalization_type", kNorms, rms},
    {"apply_residual_connection_post_layernorm", kNorms},
    {"attention_bias", kBiases},
    {"mlp_bias", kBiases},
    {"bias", kBiases},
    {"use_bias", kBiases},
    {"qkv_bias", kBiases},
    {"use_qkv_bias", kBiases},
    {"add_qkv_bias", kBiases},
    {"add_bias_linear", kBiases},
    {"attention_out_bias", kBiases},
    {"lm_head_bias", kBiases},
    {"use_parallel_residual", kParallel},
    {"parallel_residual", kParallel},
    {"parallel_attn", kParallel},
    {"*bidirectional*", kMask},
    {"is_causal", kMask, true_value},
    {"attention_chunk_size", kMask},
    {"use_sinks", kMask},
    {"attention_sink*", kMask},
    {"layer_types", kMask, all_full_attention},
};

// Whose values other than `false` say nothing.
constexpr const char* kTrueByDefault[] = {"is_causal", "use_rope"};

// A model whose matrices are not there any more.
constexpr const char* kQuantised[] = {"quantization_config", "quantization", "compression_config",
                                      "sparsity_config",     "quant_config", "quant_method",
                                      "load_in_4bit",        "load_in_8bit"};
constexpr const char* kBitCounts[] = {"weight_bits", "input_bits", "w_bit", "wbits"};

// A value that cannot switch anything on.
bool off(const Json& value) {
  return value.is_null() || value == false || is_number(value, 0) || value == "" ||
         (value.is_structured() && value.empty());
}

bool matches(std::string_view pattern, const std::string& path, std::string_view key) {
  if (pattern.find('.') != std::string_view::npos) {
    const std::string whole = path + std::string(key);
    return whole == pattern || whole.ends_with("." + std::string(pattern));
  }
  const bool front = pattern.starts_with('*'), back = pattern.ends_with('*');
  if (front) pattern.remove_prefix(1);
  if (back) pattern.remove_suffix(1);
  if (front && back) return key.find(pattern) != std::string_view::npos;
  return front ? key.ends_with(pattern) : back ? key.starts_with(pattern) : key == pattern;
}

template <class Table>
bool holds(const Table& table, const std::string& key) {
  return std::find(std::begin(table), std::end(table), key) != std::end(table);
}

// The first number under one of `keys`, in `value` or in what it holds.
const Json* find_bits(const Json& value, int depth = 0) {
  if (!value.is_structured() || depth > 6) return nullptr;
  for (const char* key : {"bits", "w_bit", "wbits", "num_bits", "nbits", "weight_bits"}) {
    if (value.is_object() && value.contains(key) && value.at(key).is_number()) {
      return &value.at(key);
    }
  }
  for (const Json& inner : value) {
    if (const Json* found = find_bits(inner, depth + 1)) return found;
  }
  return nullptr;
}

}  // namespace

KeyMeaning meaning_of(const std::string& path, const std::string& key, const Json& owner) {
  using Kind = KeyMeaning::Kind;
  const Json& value = owner.at(key);
  if (is_harmless_key(key)) return {Kind::kHarmless};
  if (off(value) && !(value == false && holds(kTrueByDefault, key))) return {Kind::kHarmless};
  if (holds(kQuantised, key)) return {Kind::kQuantised};
  if (holds(kBitCounts, key)) {
    const bool many = value.is_number() && value.get<double>() >= 16;
    return {many ? Kind::kHarmless : Kind::kQuantised};
  }
  if (key.starts_with("_") || says_what_is_read(key, owner)) return {Kind::kHarmless};
  for (const ChangingKey& entry : kChanging) {
    if (!matches(entry.key, path, key)) continue;
    return entry.neutral(value) ? KeyMeaning{Kind::kHarmless}
                                : KeyMeaning{Kind::kChanges, entry.what};
  }
  return {Kind::kUnknown};
}

std::string quantisation_of(const Json& config) {
  Json about = config;  // what the places say, the first one first
  for (const char* place : {"quantization", "compression_config", "quantization_config"}) {
    if (config.contains(place) && config.at(place).is_object()) about.update(config.at(place));
  }
  std::vector<std::string> parts;
  if (about.contains("quant_method") && about.at("quant_method").is_string()) {
    parts.push_back(about.at("quant_method").get<std::string>());
  }
  const auto loads = [&](const char* key) { return about.contains(key) && about.at(key) == true; };
  std::string bits;
  if (const Json* found = find_bits(about)) {
    bits = format_digits(found->get<double>(), 4);
  } else if (loads("load_in_4bit") || loads("load_in_8bit")) {
    bits = loads("load_in_4bit") ? "4" : "8";
  }
  if (!bits.empty()) parts.push_back(bits + (bits == "1" ? " bit" : " bits"));
  return join(parts, ", ");
}

}  // namespace littlebit
