// Two of the three tables behind known_keys.h: a key is harmless only when no value of it can
// change logits or gradients.
#include "harmless_keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

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
    {"grouped_matrices", kLittleBit},
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
    {"residual_dropout", kTraining},
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

}  // namespace

bool is_harmless_key(const std::string& key) {
  return std::any_of(std::begin(kHarmless), std::end(kHarmless),
                     [&](const HarmlessKey& entry) { return key == entry.key; });
}

bool says_what_is_read(const std::string& key, const Json& owner) {
  return std::any_of(std::begin(kAliases), std::end(kAliases), [&](const Alias& alias) {
    return key == alias.key && owner.contains(alias.read) && owner.at(alias.read) == owner.at(key);
  });
}

}  // namespace littlebit
