// The linear layers, other tensors, ranks and bits that a config.json stands for, written from the
// makers' own module names and the authors' formula, without the code under test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit::test {

struct Layer {
  std::string name;
  int64_t out, in;
  bool bias = false;
};

struct ModelSizes {
  std::string type;
  bool opt, phi, gemma, starcoder;
  int64_t hidden, embedding, heads, width, kv_heads, inner, blocks, vocabulary;
};

inline const Json& text_part(const Json& whole) {
  return whole.contains("text_config") ? whole.at("text_config") : whole;
}

// A key that the file leaves out has the value of its family's class.
inline ModelSizes sizes_of(const Json& whole) {
  const Json& config = text_part(whole);
  const auto get = [&](const char* key, int64_t fallback) { return config.value(key, fallback); };
  ModelSizes s;
  s.type = config.at("model_type");
  if (s.type == "gemma3") s.type = "gemma3_text";
  s.opt = s.type == "opt";
  s.phi = s.type.starts_with("phi");
  s.gemma = s.type.starts_with("gemma");
  s.starcoder = s.type == "starcoder2";
  s.hidden = config.at("hidden_size");
  s.embedding = s.opt ? get("word_embed_proj_dim", s.hidden) : s.hidden;
  s.heads = get("num_attention_heads", 8);
  s.width = get("head_dim", s.gemma ? 256 : s.hidden / s.heads);
  s.kv_heads = get("num_key_value_heads", s.gemma ? 4 : s.heads);
  s.inner = get(s.opt ? "ffn_dim" : "intermediate_size", 0);
  s.blocks = config.at("num_hidden_layers");
  s.vocabulary = get("vocab_size", 262208);
  return s;
}

inline std::vector<Layer> layers_of(const Json& whole) {
  const Json& config = text_part(whole);
  const ModelSizes s = sizes_of(whole);
  const int64_t q = s.heads * s.width, kv = s.kv_heads * s.width;
  const bool all = (s.opt && config.value("enable_bias", true)) ||
                   (s.starcoder && config.value("use_bias", true));
  const bool attention = all || config.value("attention_bias", false);
  const bool qkv = attention || s.type == "qwen2";
  const bool mlp = all || config.value("mlp_bias", false);
  std::vector<Layer> layers;
  const bool projected = s.embedding != s.hidden;
  if (projected) layers.push_back({"model.decoder.project_in", s.hidden, s.embedding});
  for (int64_t i = 0; i < s.blocks; ++i) {
    const std::string block =
        (s.opt ? "model.decoder.layers." : "model.layers.") + std::to_string(i) + ".";
    layers.push_back({block + "self_attn.q_proj", q, s.hidden, qkv});
    layers.push_back({block + "self_attn.k_proj", kv, s.hidden, qkv});
    layers.push_back({block + "self_attn.v_proj", kv, s.hidden, qkv});
    layers.push_back(
        {block + (s.opt ? "self_attn.out_proj" : "self_attn.o_proj"), s.hidden, q, attention});
    if (s.opt) {
      layers.push_back({block + "fc1", s.inner, s.hidden, mlp});
      layers.push_back({block + "fc2", s.hidden, s.inner, mlp});
      continue;
    }
    if (s.starcoder) {
      layers.push_back({block + "mlp.c_fc", s.inner, s.hidden, mlp});
      layers.push_back({block + "mlp.c_proj", s.hidden, s.inner, mlp});
      continue;
    }
    if (s.phi) {
      layers.push_back({block + "mlp.gate_up_proj", 2 * s.inner, s.hidden});
    } else {
      layers.push_back({block + "mlp.gate_proj", s.inner, s.hidden, mlp});
      layers.push_back({block + "mlp.up_proj", s.inner, s.hidden, mlp});
    }
    layers.push_back({block + "mlp.down_proj", s.hidden, s.inner, mlp});
  }
  if (projected) layers.push_back({"model.decoder.project_out", s.embedding, s.hidden});
  return layers;
}

// Norms, embeddings, positions and head: what is not a linear layer, with its shape.
inline std::map<std::string, std::vector<int64_t>> other_tensors(const Json& whole) {
  const Json& config = text_part(whole);
  const ModelSizes s = sizes_of(whole);
  const std::string root = s.opt ? "model.decoder." : "model.";
  std::map<std::string, std::vector<int64_t>> tensors;
  const auto norm = [&](const std::string& name, int64_t size) {
    tensors[root + name + ".weight"] = {size};
    if (s.opt || s.starcoder) tensors[root + name + ".bias"] = {size};
  };
  tensors[root + "embed_tokens.weight"] = {s.vocabulary, s.embedding};
  tensors["lm_head.weight"] = {s.vocabulary, s.embedding};  // tied ones too
  if (s.opt) {
    const int64_t positions = config.at("max_position_embeddings");
    tensors[root + "embed_positions.weight"] = {positions + 2, s.hidden};
  }
  for (int64_t i = 0; i < s.blocks; ++i) {
    const std::string block = "layers." + std::to_string(i) + ".";
    for (const char* name : s.opt ? std::vector{"self_attn_layer_norm", "final_layer_norm"}
                                  : std::vector{"input_layernorm", "post_attention_layernorm"}) {
      norm(block + name, s.hidden);
    }
    if (s.gemma && s.type != "gemma") {
      norm(block + "pre_feedforward_layernorm", s.hidden);
      norm(block + "post_feedforward_layernorm", s.hidden);
    }
    if (s.type == "qwen3" || s.type == "gemma3_text") {
      norm(block + "self_attn.q_norm", s.width);
      norm(block + "self_attn.k_norm", s.width);
    }
  }
  const bool last = !s.opt || (config.value("do_layer_norm_before", true) &&
                               !config.value("_remove_final_layer_norm", false));
  if (last) norm(s.opt ? "final_layer_norm" : "norm", s.hidden);
  return tensors;
}

// The authors' rule in exact arithmetic: bits in hundredths, all else integers. Two paths.
inline int64_t rank_of(const Layer& layer, int64_t hundredths, int64_t kv_factor, int64_t least) {
  const int64_t a = layer.in, b = layer.out;
  const bool kv = layer.name.ends_with(".k_proj") || layer.name.ends_with(".v_proj");
  const int64_t numerator = (a * b * hundredths - 3200 * (a + b)) * (kv ? kv_factor : 1);
  const int64_t denominator = 200 * (a + b + 16);
  const int64_t eights = numerator <= 0 ? 0 : numerator / (8 * denominator);
  return std::min(std::max(8 * eights, least), std::min(a, b) / 8 * 8);
}

inline int64_t stored_bits(const Layer& layer, int64_t rank) {
  const auto words = [](int64_t n) { return (n + 31) / 32 * 32; };
  return 2 * (layer.out * words(rank) + rank * words(layer.in) +
              16 * (layer.in + layer.out + 2 * rank));
}

}  // namespace littlebit::test
