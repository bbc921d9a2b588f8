// One table: key and reason. A key is put here only when no value of it can change logits or
// gradients.
#include "harmless_keys.h"

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
};

}  // namespace

const char* harmless_reason(const std::string& key) {
  for (const HarmlessKey& entry : kHarmless) {
    if (key == entry.key) return entry.reason;
  }
  return nullptr;
}

}  // namespace littlebit
