// Qwen2, Qwen2.5 and QwQ (model_type qwen2): biases on q, k, v. Qwen3: each head of q and k normed.
#include "family.h"

namespace littlebit {
namespace {

constexpr FamilyDefaults kQwen2 = {.vocab_size = 151936,
                                   .hidden_size = 4096,
                                   .intermediate_size = 22016,
                                   .num_layers = 32,
                                   .num_heads = 32,
                                   .num_kv_heads = 32,
                                   .max_positions = 32768};

// Windows act only where use_sliding_window says so, and only on the layers above the first
// max_window_layers.
void read_qwen_windows(ConfigReader& reader, ModelSpec& spec) {
  const bool used = reader.flag("use_sliding_window", false);
  const int64_t window = read_window(reader, "sliding_window", 4096);
  const std::vector<bool> sliding = read_sliding_layers(
      reader, spec.num_layers, [](int64_t layer, int64_t full) { return layer >= full; },
      reader.integer("max_window_layers", 28, 0, 1 << 20));
  set_windows(spec, sliding, used ? window : 0);
}

}  // namespace

ModelSpec parse_qwen2(const Json& config) {
  ConfigReader reader(config, "");
  ModelSpec spec = read_llama_like(reader, kQwen2);
  spec.q_bias = spec.k_bias = spec.v_bias = true;
  for (const char* key : {"attention_bias", "qkv_bias", "use_qkv_bias", "add_qkv_bias"}) {
    reader.ignore(key);  // they are always there
  }
  read_qwen_windows(reader, spec);
  reader.finish("qwen2", spec);
  return spec;
}

ModelSpec parse_qwen3(const Json& config) {
  ConfigReader reader(config, "");
  FamilyDefaults defaults = kQwen2;
  defaults.head_dim = 128;
  ModelSpec spec = read_llama_like(reader, defaults);
  spec.qk_norm = true;
  reader.ignore("use_qk_norm");  // always there
  spec.q_bias = spec.k_bias = spec.v_bias = spec.o_bias = reader.flag("attention_bias", false);
  read_qwen_windows(reader, spec);
  reader.finish("qwen3", spec);
  return spec;
}

}  // namespace littlebit
