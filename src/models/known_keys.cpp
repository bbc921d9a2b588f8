// Three tables. A key is harmless only when no value of it can change logits or gradients. A key is
// refused when it is known to change them in some model and is not implemented, or marks another
// architecture under a supported model_type. What stands in neither is passed over with a warning,
// as Hugging Face's classes pass over what they do not read.
#include "known_keys.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

struct HarmlessKey {
  const char* key;
  const char* reason;
};

constexpr char kMetadata[] = "says where the file came from or which program reads it";
constexpr char kTokens[] = "a token id or text setting; the tokenizer and generation read it";
constexpr char kTraining[] =
    "acts only in training from scratch or by dropout, which is never used";
constexpr char kGeneration[] = "a setting of text generation or its cache";
constexpr char kOutput[] = "selects what Hugging Face's model returns";
constexpr char kStorage[] = "the tensor files say their own types";
constexpr char kOtherHead[] = "belongs to heads other than the language model's";
constexpr char kNumerics[] = "changes the order of sums, not the function";
constexpr char kLengths[] = "the longest text of some program; max_position_embeddings counts";
constexpr char kSizes[] = "how a size was found that stands in the file itself";

constexpr char kLittleBit[] = "how a LittleBit folder was made; its own file says what counts";

constexpr HarmlessKey kHarmless[] = {
    {"architectures", kMetadata},
    {"auto_map", kMetadata},
    {"model_type", "read before the family is known"},
    {"name_or_path", kMetadata},
    {"transformers_version", kMetadata},
    {"tokenizer", kMetadata},
    {"transformers.js_config", kMetadata},
    {"unsloth_fixed", kMetadata},
    {"unsloth_version", kMetadata},
    {"torch_dtype", kStorage},
    {"dtype", kStorage},
    {"use_bfloat16", kStorage},
    {"bos_token_id", kTokens},
    {"eos_token_id", kTokens},
    {"pad_token_id", kTokens},
    {"sep_token_id", kTokens},
    {"decoder_start_token_id", kTokens},
    {"forced_bos_token_id", kTokens},
    {"forced_eos_token_id", kTokens},
    {"tokenizer_class", kTokens},
    {"prefix", kTokens},
    {"initializer_range", kTraining},
    {"init_std", kTraining},
    {"dropout", kTraining},
    {"attention_dropout", kTraining},
    {"activation_dropout", kTraining},
    {"embd_pdrop", kTraining},
    {"resid_pdrop", kTraining},
    {"hidden_dropout", kTraining},
    {"layerdrop", kTraining},
    {"use_cache", kGeneration},
    {"cache_implementation", kGeneration},
    {"max_length", kGeneration},
    {"min_length", kGeneration},
    {"max_new_tokens", kGeneration},
    {"do_sample", kGeneration},
    {"early_stopping", kGeneration},
    {"num_beams", kGeneration},
    {"num_beam_groups", kGeneration},
    {"diversity_penalty", kGeneration},
    {"temperature", kGeneration},
    {"top_k", kGeneration},
    {"top_p", kGeneration},
    {"typical_p", kGeneration},
    {"repetition_penalty", kGeneration},
    {"length_penalty", kGeneration},
    {"no_repeat_ngram_size", kGeneration},
    {"encoder_no_repeat_ngram_size", kGeneration},
    {"num_return_sequences", kGeneration},
    {"bad_words_ids", kGeneration},
    {"mask_value", "the number some runtimes use for minus infinity in masks"},
    {"return_dict", kOutput},
    {"return_dict_in_generate", kOutput},
    {"output_hidden_states", kOutput},
    {"output_attentions", kOutput},
    {"output_scores", kOutput},
    {"torchscript", kOutput},
    {"tf_legacy_loss", kOutput},
    {"is_decoder", "every family here is a causal decoder"},
    {"finetuning_task", kOtherHead},
    {"id2label", kOtherHead},
    {"label2id", kOtherHead},
    {"num_labels", kOtherHead},
    {"problem_type", kOtherHead},
    {"task_specific_params", kOtherHead},
    {"quant_func", kLittleBit},
    {"quant_mod", kLittleBit},
    {"eff_bit", kLittleBit},
    {"split_dim", kLittleBit},
    {"min_split_dim", kLittleBit},
    {"residual", kLittleBit},
    {"kv_factor", kLittleBit},
    {"output_projection", "OPT's converter left it; the head is always there"},
    {"chunk_size_feed_forward", kNumerics},
    {"pretraining_tp", kNumerics},
    {"attn_implementation", kNumerics},
    {"is_llama_config", kMetadata},
    {"model_name", kMetadata},
    {"base_model", kMetadata},
    {"base_model_name_or_path", kMetadata},
    {"license", kMetadata},
    {"bos_token", kTokens},
    {"eos_token", kTokens},
    {"pad_token", kTokens},
    {"unk_token", kTokens},
    {"unk_token_id", kTokens},
    {"cls_token_id", kTokens},
    {"mask_token_id", kTokens},
    {"padding_side", kTokens},
    {"tokenizer_padding_side", kTokens},
    {"suppress_tokens", kTokens},
    {"begin_suppress_tokens", kTokens},
    {"neftune_noise_alpha", kTraining},
    {"gradient_checkpointing", kTraining},
    {"use_gradient_checkpointing", kTraining},
    {"z_loss_weight", kTraining},
    {"label_smoothing", kTraining},
    {"router_aux_loss_coef", kTraining},
    {"hidden_dropout_prob", kTraining},
    {"attention_probs_dropout_prob", kTraining},
    {"embedding_dropout", kTraining},
    {"resid_dropout", kTraining},
    {"embd_dropout", kTraining},
    {"exponential_decay_length_penalty", kGeneration},
    {"remove_invalid_values", kGeneration},
    {"epsilon_cutoff", kGeneration},
    {"eta_cutoff", kGeneration},
    {"penalty_alpha", kGeneration},
    {"guidance_scale", kGeneration},
    {"output_router_logits", kOutput},
    {"max_sequence_length", kLengths},
    {"max_seq_length", kLengths},
    {"max_seq_len", kLengths},
    {"seq_length", kLengths},
    {"seq_len", kLengths},
    {"model_max_length", kLengths},
    {"tokenizer_model_max_length", kLengths},
    {"n_ctx", kLengths},
    {"n_positions", kLengths},
    {"max_context_length", kLengths},
    {"use_flash_attn", kNumerics},
    {"use_flash_attention", kNumerics},
    {"use_flash_attention_2", kNumerics},
    {"flash_attention", kNumerics},
    {"use_sdpa_attention", kNumerics},
    {"attn_impl", kNumerics},
    {"attention_softmax_in_fp32", kNumerics},
    {"softmax_in_fp32", kNumerics},
    {"use_fused_rms_norm", kNumerics},
    {"fused_rms_norm", kNumerics},
    {"ffn_dim_multiplier", kSizes},
    {"multiple_of", kSizes},
    {"tie_encoder_decoder", "there is no encoder"},
};

// Another spelling of a key that is read: equal values say nothing new.
struct Alias {
  const char* key;
  const char* read;
};
constexpr Alias kAliases[] = {
    {"n_layer", "num_hidden_layers"},
    {"n_layers", "num_hidden_layers"},
    {"num_layers", "num_hidden_layers"},
    {"n_head", "num_attention_heads"},
    {"n_heads", "num_attention_heads"},
    {"num_heads", "num_attention_heads"},
    {"n_kv_heads", "num_key_value_heads"},
    {"n_head_kv", "num_key_value_heads"},
    {"num_kv_heads", "num_key_value_heads"},
    {"n_embd", "hidden_size"},
    {"d_model", "hidden_size"},
    {"dim", "hidden_size"},
    {"word_embed_proj_dim", "hidden_size"},
    {"dim_model_base", "hidden_size"},
    {"ffn_dim", "intermediate_size"},
    {"intermediate_size", "ffn_dim"},
    {"ffn_hidden_size", "intermediate_size"},
    {"d_ff", "intermediate_size"},
    {"n_inner", "intermediate_size"},
    {"hidden_dim", "intermediate_size"},
    {"kv_channels", "head_dim"},
    {"v_head_dim", "head_dim"},
    {"attention_head_dim", "head_dim"},
    {"query_pre_attn_scalar", "head_dim"},
    {"hidden_act", "hidden_activation"},
    {"hidden_act", "activation_function"},
    {"hidden_activation", "hidden_act"},
    {"activation_function", "hidden_act"},
    {"layer_norm_eps", "rms_norm_eps"},
    {"layer_norm_epsilon", "rms_norm_eps"},
    {"layernorm_epsilon", "rms_norm_eps"},
    {"norm_eps", "rms_norm_eps"},
    {"norm_epsilon", "rms_norm_eps"},
    {"rotary_emb_base", "rope_theta"},
    {"rotary_base", "rope_theta"},
    {"rope_base", "rope_theta"},
    {"rope_freq_base", "rope_theta"},
    {"sliding_window_size", "sliding_window"},
    {"n_vocab", "vocab_size"},
    {"padded_vocab_size", "vocab_size"},
    {"tie_embeddings", "tie_word_embeddings"},
    {"share_embedding", "tie_word_embeddings"},
    {"share_input_output_embed", "tie_word_embeddings"},
};

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

bool says_what_is_read(const std::string& key, const Json& owner) {
  return std::any_of(std::begin(kAliases), std::end(kAliases), [&](const Alias& alias) {
    return key == alias.key && owner.contains(alias.read) && owner.at(alias.read) == owner.at(key);
  });
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
  const auto harmless = [&](const HarmlessKey& entry) { return key == entry.key; };
  if (std::any_of(std::begin(kHarmless), std::end(kHarmless), harmless)) return {Kind::kHarmless};
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
