// Llama 1-3, TinyLlama, SmolLM2 (model_type llama) and Mistral (model_type mistral).
#include "family.h"

namespace littlebit {

ModelSpec parse_llama(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_llama_like(reader, {.vocab_size = 32000,
                                            .hidden_size = 4096,
                                            .intermediate_size = 11008,
                                            .num_layers = 32,
                                            .num_heads = 32,
                                            .max_positions = 2048});
  spec.q_bias = spec.k_bias = spec.v_bias = spec.o_bias = reader.flag("attention_bias", false);
  spec.mlp_bias = reader.flag("mlp_bias", false);
  reader.finish("llama", spec);
  return spec;
}

ModelSpec parse_mistral(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_llama_like(reader, {.vocab_size = 32000,
                                            .hidden_size = 4096,
                                            .intermediate_size = 14336,
                                            .num_layers = 32,
                                            .num_heads = 32,
                                            .num_kv_heads = 8,
                                            .max_positions = 131072});
  const std::vector<bool> sliding = read_sliding_layers(
      reader, spec.num_layers, [](int64_t, int64_t) { return true; }, 0);
  set_windows(spec, sliding, read_window(reader, "sliding_window", 4096));
  reader.finish("mistral", spec);
  return spec;
}

}  // namespace littlebit
