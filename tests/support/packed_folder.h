// A packed Llama folder of any size with random signs, made without a dense model: scales are such
// that activations keep their size.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <string>

#include "littlebit/core/write_file.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/decoder.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/bit_budget.h"

namespace littlebit::test {

struct PackedShape {
  int64_t vocabulary = 2048, hidden = 1024, intermediate = 2816, layers = 12, heads = 16,
          kv_heads = 16;
  double bits = 0.1;
  bool tied = false;
};

inline std::string llama_config(const PackedShape& shape) {
  const auto number = [](const char* key, int64_t n) {
    return std::string(", \"") + key + "\": " + std::to_string(n);
  };
  return "{\"model_type\": \"llama\", \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-5" +
         number("hidden_size", shape.hidden) + number("intermediate_size", shape.intermediate) +
         number("num_hidden_layers", shape.layers) + number("num_attention_heads", shape.heads) +
         number("num_key_value_heads", shape.kv_heads) + number("vocab_size", shape.vocabulary) +
         number("max_position_embeddings", 4096) +
         ", \"tie_word_embeddings\": " + (shape.tied ? "true" : "false") + "}";
}

// Tensors of one layer under the authors' names.
inline void add_packed_layer(std::map<std::string, at::Tensor>& tensors, const LayerPlan& plan) {
  const auto full = [](int64_t size, double value) {
    return at::full({1, size}, value, at::kBFloat16);
  };
  for (int p = 0; p < plan.paths; ++p) {
    const std::string suffix = p == 0 ? "" : "_R";
    const auto signs = [&](const char* name, int64_t rows, int64_t cols) {
      at::Tensor words = at::randint(INT32_MIN, INT32_MAX, {rows, (cols + 31) / 32}, at::kInt);
      if (cols % 32 != 0) words.select(1, -1).bitwise_and_((int64_t{1} << (cols % 32)) - 1);
      tensors[plan.name + name + suffix + "_packed"] = words;
      tensors[plan.name + name + suffix + "_shape"] = at::tensor({rows, cols}, at::kLong);
    };
    signs(".U", plan.d_out, plan.rank);
    signs(".V", plan.rank, plan.d_in);
    tensors[plan.name + ".u1" + suffix] = full(plan.d_out, 1);
    tensors[plan.name + ".u2" + suffix] =
        full(plan.rank, 1 / std::sqrt(static_cast<double>(plan.paths * plan.rank)));
    tensors[plan.name + ".v1" + suffix] = full(plan.rank, 1);
    tensors[plan.name + ".v2" + suffix] =
        full(plan.d_in, 1 / std::sqrt(static_cast<double>(plan.d_in)));
  }
}

// Returns the bytes of the tensor file.
inline uint64_t write_packed_llama(const std::filesystem::path& folder, const PackedShape& shape) {
  create_folders(folder);
  write_file(folder / "config.json", llama_config(shape));
  Decoder decoder =
      empty_decoder(parse_model_spec(HfFolder(folder).config()), at::kFloat, at::kCPU);
  QuantOptions options;
  options.bits_per_weight = shape.bits;
  std::map<std::string, at::Tensor> tensors;
  decoder.visit_linears([&](LinearSlot& slot) {
    add_packed_layer(tensors, plan_layer(slot.name, slot.d_in, slot.d_out, options));
  });
  decoder.visit_parameters([&](Parameter& parameter) {
    tensors[parameter.source.tensor] = at::full({parameter.size}, 1, at::kBFloat16);
  });
  const auto table = [&] { return at::randn({shape.vocabulary, shape.hidden}).to(at::kBFloat16); };
  tensors[decoder.parts().frozen_names.embedding] = table();
  if (!shape.tied) tensors[decoder.head().weight.tensor] = table();

  SafetensorsWriter writer(folder / "model.safetensors");
  for (const auto& [name, tensor] : tensors) {
    writer.declare(name, dtype_of(tensor.scalar_type()), tensor.sizes().vec());
  }
  for (const auto& [name, tensor] : tensors) write_tensor(writer, tensor);
  writer.commit();
  return std::filesystem::file_size(folder / "model.safetensors");
}

}  // namespace littlebit::test
