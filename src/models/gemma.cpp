// Gemma 1: Llama's block with norm weights stored as w - 1 and scaled embeddings.
#include <cmath>
#include <nlohmann/json.hpp>

#include "family.h"

namespace littlebit {

ModelSpec parse_gemma(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_llama_like(reader, {.vocab_size = 256000,
                                            .hidden_size = 3072,
                                            .intermediate_size = 24576,
                                            .num_layers = 28,
                                            .num_heads = 16,
                                            .num_kv_heads = 16,
                                            .head_dim = 256,
                                            .max_positions = 8192,
                                            .tied_embeddings = true,
                                            .activation = "gelu_pytorch_tanh"});
  // Hugging Face has computed with one of them or with the other, as its version was.
  if (reader.present("hidden_activation") && !reader.is_null("hidden_activation") &&
      read_activation(reader, "hidden_activation", "") != spec.activation) {
    reader.fail("hidden_activation", "the same as hidden_act, or null");
  }
  spec.norm_offset = 1;
  spec.embedding_scale = std::sqrt(static_cast<double>(spec.hidden_size));
  spec.q_bias = spec.k_bias = spec.v_bias = spec.o_bias = reader.flag("attention_bias", false);
  reader.finish("gemma", spec);
  return spec;
}

}  // namespace littlebit
