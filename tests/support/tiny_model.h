// A random Llama folder a few kilobytes large, written by our own writer, and ids to train it on.
#pragma once

#include <ATen/Context.h>
#include <ATen/ops/randint.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "littlebit/core/write_file.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/tensor_io.h"
#include "temp_folder.h"

namespace littlebit::test {

struct TinyOptions {
  bool tied = false;
  bool biases = false;
  int64_t vocabulary = 48, hidden = 32, intermediate = 40, layers = 2, heads = 4, kv_heads = 2;
  uint32_t seed = 1;
  double scale = 0.3;  // standard deviation of weights
};

// Writes config.json and model.safetensors (fp32) into `folder`, which is made if need be.
inline void write_tiny_llama(const std::filesystem::path& folder, const TinyOptions& o = {}) {
  const auto number = [](int64_t n) { return std::to_string(n); };
  std::filesystem::create_directories(folder);
  const std::string flag = o.biases ? "true" : "false";
  write_file(
      folder / "config.json",
      "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_act\": "
      "\"silu\",\n"
      " \"hidden_size\": " +
          number(o.hidden) + ", \"intermediate_size\": " + number(o.intermediate) +
          ", \"num_hidden_layers\": " + number(o.layers) + ", \"num_attention_heads\": " +
          number(o.heads) + ", \"num_key_value_heads\": " + number(o.kv_heads) +
          ", \"vocab_size\": " + number(o.vocabulary) +
          ",\n \"max_position_embeddings\": 128, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0,\n"
          " \"attention_bias\": " +
          flag + ", \"mlp_bias\": " + flag + ", \"tie_word_embeddings\": " +
          (o.tied ? "true" : "false") + ", \"torch_dtype\": \"float32\"}\n");

  struct Tensor {
    std::string name;
    std::vector<int64_t> shape;
    double mean, deviation;
  };
  std::vector<Tensor> tensors = {{"model.embed_tokens.weight", {o.vocabulary, o.hidden}, 0, 1}};
  const int64_t head_dim = o.hidden / o.heads;
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string prefix = "model.layers." + number(layer) + ".";
    const auto linear = [&](const std::string& name, int64_t d_out, int64_t d_in) {
      tensors.push_back({prefix + name + ".weight", {d_out, d_in}, 0, o.scale});
      if (o.biases) tensors.push_back({prefix + name + ".bias", {d_out}, 0, o.scale});
    };
    linear("self_attn.q_proj", o.heads * head_dim, o.hidden);
    linear("self_attn.k_proj", o.kv_heads * head_dim, o.hidden);
    linear("self_attn.v_proj", o.kv_heads * head_dim, o.hidden);
    linear("self_attn.o_proj", o.hidden, o.heads * head_dim);
    linear("mlp.gate_proj", o.intermediate, o.hidden);
    linear("mlp.up_proj", o.intermediate, o.hidden);
    linear("mlp.down_proj", o.hidden, o.intermediate);
    tensors.push_back({prefix + "input_layernorm.weight", {o.hidden}, 1, 0.1});
    tensors.push_back({prefix + "post_attention_layernorm.weight", {o.hidden}, 1, 0.1});
  }
  tensors.push_back({"model.norm.weight", {o.hidden}, 1, 0.1});
  if (!o.tied) tensors.push_back({"lm_head.weight", {o.vocabulary, o.hidden}, 0, o.scale});

  SafetensorsWriter writer(folder / "model.safetensors");
  for (const Tensor& tensor : tensors) writer.declare(tensor.name, Dtype::kF32, tensor.shape);
  std::mt19937 random(o.seed);
  for (const Tensor& tensor : tensors) {
    int64_t numel = 1;
    for (const int64_t size : tensor.shape) numel *= size;
    std::normal_distribution<float> normal(static_cast<float>(tensor.mean),
                                           static_cast<float>(tensor.deviation));
    std::vector<float> values(numel);
    for (float& value : values) value = normal(random);
    writer.write(std::as_bytes(std::span(values)));
  }
  writer.commit();
}

// Training data: `input_ids` [rows, length] below TinyOptions' vocabulary.
inline void write_tiny_ids(const std::filesystem::path& file, int64_t rows, int64_t length) {
  at::manual_seed(9);
  SafetensorsWriter writer(file);
  writer.declare("input_ids", Dtype::kI32, {rows, length});
  write_tensor(writer, at::randint(TinyOptions().vocabulary, {rows, length}, at::kInt));
  writer.commit();
}

}  // namespace littlebit::test
