// Phi-3, Phi-3.5, Phi-4 and Phi-4-mini (model_type phi3): q, k, v stored as one matrix and split
// here, gate and up kept as one; partial rotation and longrope.
#include "family.h"

namespace littlebit {

ModelSpec parse_phi3(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_llama_like(reader, {.vocab_size = 32064,
                                            .hidden_size = 3072,
                                            .intermediate_size = 8192,
                                            .num_layers = 32,
                                            .num_heads = 32,
                                            .max_positions = 4096,
                                            .norm_eps = 1e-5,
                                            .phi_original_positions = 4096});
  spec.fused_gate_up = true;
  const std::vector<bool> sliding = read_sliding_layers(
      reader, spec.num_layers, [](int64_t, int64_t) { return true; }, 0);
  set_windows(spec, sliding, read_window(reader, "sliding_window", 0));
  reader.integer("full_attn_mod", 1, 1, 1);       // 1: every layer attends alike
  reader.integer("interpolate_factor", 1, 1, 1);  // 1: positions as they are
  reader.finish("phi3", spec);
  return spec;
}

void name_phi3_parts(const ModelSpec& spec, DecoderParts& parts) {
  name_llama_parts(spec, parts);
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    Block& block = parts.blocks[layer];
    const std::string fused =
        "model.layers." + std::to_string(layer) + ".self_attn.qkv_proj.weight";
    const int64_t rows = block.q.d_out + block.k.d_out + block.v.d_out;
    int64_t begin = 0;
    for (LinearSlot* part : {&block.q, &block.k, &block.v}) {
      part->weight = {fused, begin, begin + part->d_out, rows};
      begin += part->d_out;
    }
  }
}

}  // namespace littlebit
