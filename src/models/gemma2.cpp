// Gemma 2, and what Gemma 3 shares with it: norm weights stored as w - 1, norms before and after
// both halves of a block, scaled embeddings. Every other layer has a window.
#include <cmath>

#include "family.h"

namespace littlebit {

ModelSpec read_gemma(ConfigReader& reader, int64_t vocab_size, int64_t max_positions,
                     double rope_theta, bool rope_per_layer_kind) {
  ModelSpec spec = read_llama_like(reader, {.vocab_size = vocab_size,
                                            .hidden_size = 2304,
                                            .intermediate_size = 9216,
                                            .num_layers = 26,
                                            .num_heads = 8,
                                            .num_kv_heads = 4,
                                            .head_dim = 256,
                                            .max_positions = max_positions,
                                            .rope_theta = rope_theta,
                                            .tied_embeddings = true,
                                            .rope_per_layer_kind = rope_per_layer_kind,
                                            .activation_key = "hidden_activation",
                                            .activation = "gelu_pytorch_tanh"});
  reader.ignore("hidden_act");  // Hugging Face reads hidden_activation
  spec.norm_offset = 1;
  spec.sandwich_norms = true;
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden_size));
  spec.attention_scale = 1 / std::sqrt(reader.number("query_pre_attn_scalar", 256, 1e-3, 1e9));
  spec.q_bias = spec.k_bias = spec.v_bias = spec.o_bias = reader.flag("attention_bias", false);
  return spec;
}

ModelSpec parse_gemma2(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_gemma(reader, 256000, 8192, 10000, /*rope_per_layer_kind=*/false);
  spec.attention_softcap = read_softcap(reader, "attn_logit_softcapping", 50);
  spec.logit_softcap = read_softcap(reader, "final_logit_softcapping", 30);
  const std::vector<bool> sliding = read_sliding_layers(
      reader, spec.num_layers, [](int64_t layer, int64_t) { return layer % 2 == 0; }, 0);
  set_windows(spec, sliding, read_window(reader, "sliding_window", 4096));
  reader.finish("gemma2", spec);
  return spec;
}

}  // namespace littlebit
