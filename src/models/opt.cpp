// OPT: learned positions, LayerNorm and biases, plain ReLU MLP; opt-350m norms after the residual
// sums and has embeddings narrower than its hidden size.
#include "family.h"

namespace littlebit {

ModelSpec parse_opt(const Json& config) {
  constexpr int64_t kMaxSize = 1 << 24;
  ConfigReader reader(config, "");
  ModelSpec spec;
  spec.vocab_size = reader.integer("vocab_size", 50272, 1, kMaxSize);
  spec.hidden_size = reader.integer("hidden_size", 768, 1, kMaxSize);
  spec.intermediate_size = reader.integer("ffn_dim", 3072, 1, kMaxSize);
  spec.num_layers = reader.integer("num_hidden_layers", 12, 1, 4096);
  spec.num_heads = spec.num_kv_heads = reader.integer("num_attention_heads", 12, 1, 1 << 16);
  if (spec.hidden_size % spec.num_heads != 0) {
    reader.fail("num_attention_heads",
                "a divisor of hidden_size " + std::to_string(spec.hidden_size));
  }
  spec.head_dim = spec.hidden_size / spec.num_heads;
  spec.max_positions = reader.integer("max_position_embeddings", 2048, 1, 1 << 30);
  spec.embedding_size = reader.integer("word_embed_proj_dim", spec.hidden_size, 1, kMaxSize);
  spec.learned_positions = true;
  spec.position_offset = 2;
  spec.norm = NormKind::kLayer;
  spec.norm_eps = 1e-5;
  spec.norm_first = reader.flag("do_layer_norm_before", true);
  spec.final_norm = spec.norm_first && !reader.flag("_remove_final_layer_norm", false);
  if (!reader.flag("layer_norm_elementwise_affine", true)) {
    reader.fail("layer_norm_elementwise_affine", "true");
  }
  spec.gated_mlp = false;
  spec.activation = read_activation(reader, "activation_function", "relu");
  const bool bias = reader.flag("enable_bias", true);
  spec.q_bias = spec.k_bias = spec.v_bias = spec.o_bias = spec.mlp_bias = bias;
  spec.tied_embeddings = reader.flag("tie_word_embeddings", true);
  reader.finish("opt", spec);
  return spec;
}

void name_opt_parts(const ModelSpec& spec, DecoderParts& parts) {
  const std::string root = "model.decoder.";
  parts.frozen_names = {root + "embed_tokens.weight", root + "embed_positions.weight"};
  name_slot(parts.head, "lm_head");
  if (parts.embedding.project_in.used()) {
    name_slot(parts.embedding.project_in, root + "project_in");
    name_slot(parts.tail.project_out, root + "project_out");
  }
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    Block& block = parts.blocks[layer];
    const std::string prefix = root + "layers." + std::to_string(layer) + ".";
    name_slot(block.q, prefix + "self_attn.q_proj");
    name_slot(block.k, prefix + "self_attn.k_proj");
    name_slot(block.v, prefix + "self_attn.v_proj");
    name_slot(block.o, prefix + "self_attn.out_proj");
    name_slot(block.up, prefix + "fc1");
    name_slot(block.down, prefix + "fc2");
    name_norm(block.input_norm, prefix + "self_attn_layer_norm", spec.norm, spec.hidden_size);
    name_norm(block.pre_mlp_norm, prefix + "final_layer_norm", spec.norm, spec.hidden_size);
  }
  if (spec.final_norm) {
    name_norm(parts.tail.final_norm, root + "final_layer_norm", spec.norm, spec.hidden_size);
  }
}

}  // namespace littlebit
