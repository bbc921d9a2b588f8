// StarCoder2: Llama's attention with biases everywhere, LayerNorm, and a plain MLP.
#include "family.h"

namespace littlebit {

ModelSpec parse_starcoder2(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_llama_like(reader, {.vocab_size = 49152,
                                            .hidden_size = 3072,
                                            .intermediate_size = 12288,
                                            .num_layers = 30,
                                            .num_heads = 24,
                                            .num_kv_heads = 2,
                                            .max_positions = 4096,
                                            .tied_embeddings = true,
                                            .activation = "gelu_pytorch_tanh"});
  spec.norm = NormKind::kLayer;
  spec.norm_eps = reader.number("norm_epsilon", 1e-5, 0, 1);
  spec.gated_mlp = false;
  spec.q_bias = spec.k_bias = spec.v_bias = spec.o_bias = spec.mlp_bias =
      reader.flag("use_bias", true);
  const std::vector<bool> sliding = read_sliding_layers(
      reader, spec.num_layers, [](int64_t, int64_t) { return true; }, 0);
  set_windows(spec, sliding, read_window(reader, "sliding_window", 0));
  // Left of GPTBigCode in published files; Hugging Face's class reads none of them.
  for (const char* key :
       {"norm_type", "mlp_type", "layer_norm_epsilon", "activation_function", "scale_attn_weights",
        "attention_softmax_in_fp32", "scale_attention_softmax_in_fp32"}) {
    reader.ignore(key);
  }
  reader.finish("starcoder2", spec);
  return spec;
}

void name_starcoder2_parts(const ModelSpec& spec, DecoderParts& parts) {
  name_llama_parts(spec, parts);
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.";
    name_slot(parts.blocks[layer].up, prefix + "c_fc");
    name_slot(parts.blocks[layer].down, prefix + "c_proj");
  }
}

}  // namespace littlebit
