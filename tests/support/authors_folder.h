// A packed folder as the authors' packer writes it (specs section 7), from random factors with
// scales of either sign: bits LSB first, bit 1 = -1, padding 0; bf16; several shards with an index;
// a tied head written twice. Written by loops of its own, without the code under test.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/hf_folder.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/decoder.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit::test {

struct AuthorsOptions {
  bool residual = true;
  bool packed = true;        // false: unpacked U and V, the older form
  bool shards = true;        // false: one file
  bool model_prefix = true;  // false: names without the leading "model."
  int64_t rank = 8;
};

class AuthorsFolder {
 public:
  std::map<std::string, at::Tensor> tensors;    // as stored
  std::map<std::string, at::Tensor> effective;  // <layer>.weight in fp64

  // Norms, biases, embedding and head are those of `teacher` (a folder of a Llama) in bf16.
  AuthorsFolder(const std::filesystem::path& teacher, const AuthorsOptions& options)
      : options_(options), teacher_(teacher) {
    teacher_.open_tensors();
    Decoder decoder =
        load_decoder(teacher_, parse_model_spec(teacher_.config()), at::kFloat, at::kCPU);
    at::manual_seed(17);
    decoder.visit_linears([&](LinearSlot& slot) { add_layer(slot); });
    decoder.visit_parameters(
        [&](Parameter& parameter) { tensors[parameter.name] = parameter.value.to(at::kBFloat16); });
    tensors["model.embed_tokens.weight"] = decoder.frozen().embedding.to(at::kBFloat16);
    tensors["lm_head.weight"] = dense_weight(decoder.head()).to(at::kBFloat16);
  }

  void write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    std::filesystem::copy_file(teacher_.path() / "config.json", folder / "config.json");
    std::string config = read_file(folder / "config.json");
    const std::string quant =
        std::string(
            "\"quant_func\": \"SmoothSign\", \"eff_bit\": 1.0, \"split_dim\": 1024, "
            "\"residual\": ") +
        (options_.residual ? "true" : "false") +
        ", \"kv_factor\": 1.0, \"min_split_dim\": 8, \"quant_mod\": \"LittleBitLinear\"";
    write_text(folder / "littlebit_config.json", "{" + quant + "}");
    write_text(folder / "config.json", config.substr(0, config.rfind('}')) + ", " + quant + "}");
    if (!options_.shards) {
      write_file(folder, "model.safetensors", 0, 1);
      return;
    }
    std::string index;
    for (int shard = 0; shard < 2; ++shard) {
      const std::string name = "model-0000" + std::to_string(shard + 1) + "-of-00002.safetensors";
      for (const std::string& tensor : write_file(folder, name, shard, 2)) {
        index += (index.empty() ? "" : ", ") + ("\"" + tensor + "\": \"" + name + "\"");
      }
    }
    write_text(folder / "model.safetensors.index.json", "{\"weight_map\": {" + index + "}}");
  }

  // The same model as a plain folder: effective weights in fp32.
  void write_dense(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    std::filesystem::copy_file(teacher_.path() / "config.json", folder / "config.json");
    std::map<std::string, at::Tensor> dense;
    for (const auto& [name, weight] : effective) dense[name] = weight.to(at::kFloat);
    for (const auto& [name, tensor] : tensors) {
      if (name.ends_with("norm.weight") || name.ends_with(".bias") ||
          name.ends_with("embed_tokens.weight") || name == "lm_head.weight") {
        dense[name] = tensor.to(at::kFloat);
      }
    }
    SafetensorsWriter writer(folder / "model.safetensors");
    for (const auto& [name, tensor] : dense) {
      writer.declare(name, Dtype::kF32, tensor.sizes().vec());
    }
    for (const auto& [name, tensor] : dense) write_tensor(writer, tensor);
    writer.commit();
  }

 private:
  static void write_text(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }

  // Normal numbers in bf16, about half of them negative; one of them zero.
  static at::Tensor scale(int64_t size) {
    at::Tensor x = at::randn({1, size}).mul_(0.4).to(at::kBFloat16);
    x.select(1, size / 2).zero_();
    return x;
  }

  static at::Tensor pack(const at::Tensor& signs) {
    const int64_t rows = signs.size(0), cols = signs.size(1), words = (cols + 31) / 32;
    at::Tensor packed = at::zeros({rows, words}, at::kInt);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        if (signs[r][c].item<float>() > 0) continue;
        int32_t* word = packed.data_ptr<int32_t>() + r * words + c / 32;
        *word = static_cast<int32_t>(static_cast<uint32_t>(*word) | (1u << (c % 32)));
      }
    }
    return packed;
  }

  void add_layer(const LinearSlot& slot) {
    at::Tensor sum = at::zeros({slot.d_out, slot.d_in}, at::kDouble);
    for (int p = 0; p < (options_.residual ? 2 : 1); ++p) {
      const std::string suffix = p == 0 ? "" : "_R";
      std::map<std::string, at::Tensor> vectors = {{"u1", scale(slot.d_out)},
                                                   {"u2", scale(options_.rank)},
                                                   {"v1", scale(options_.rank)},
                                                   {"v2", scale(slot.d_in)}};
      for (const auto& [name, value] : vectors) tensors[slot.name + "." + name + suffix] = value;
      const auto wide = [&](const char* name) { return vectors[name].to(at::kDouble); };
      const auto sign = [&](const char* name, int64_t rows, int64_t cols) {
        const at::Tensor latents = at::randn({rows, cols});
        const at::Tensor signs = latents.ge(0).to(at::kFloat) * 2 - 1;
        const std::string full = slot.name + "." + name + suffix;
        if (options_.packed) {
          tensors[full + "_packed"] = pack(signs);
          tensors[full + "_shape"] = at::tensor({rows, cols}, at::kLong);
        } else {
          tensors[full] = latents;
        }
        return signs.to(at::kDouble);
      };
      const at::Tensor u = sign("U", slot.d_out, options_.rank);
      const at::Tensor v = sign("V", options_.rank, slot.d_in);
      sum += at::matmul(u * wide("u1").t() * (wide("u2") * wide("v1")), v * wide("v2"));
    }
    effective[slot.name + ".weight"] = sum;
    tensors[slot.name + "._eff_bit_target"] = at::scalar_tensor(1.0, at::kBFloat16);
    tensors[slot.name + "._eff_bit_actual"] = at::scalar_tensor(1.0, at::kBFloat16);
    tensors[slot.name + "._split_dim_final"] = at::scalar_tensor(options_.rank, at::kLong);
    if (slot.has_bias) {
      tensors[slot.name + ".bias"] =
          load_slot_bias(teacher_, slot, at::kFloat, at::kCPU).to(at::kBFloat16);
    }
  }

  // Every count-th tensor from the first-th on; returns their names.
  std::vector<std::string> write_file(const std::filesystem::path& folder, const std::string& file,
                                      int first, int count) const {
    std::vector<std::pair<std::string, at::Tensor>> part;
    int i = 0;
    for (const auto& [name, tensor] : tensors) {
      if (i++ % count != first) continue;
      const bool strip = !options_.model_prefix && name.starts_with("model.");
      part.emplace_back(strip ? name.substr(6) : name, tensor);
    }
    SafetensorsWriter writer(folder / file);
    for (const auto& [name, tensor] : part) {
      writer.declare(name, dtype_of(tensor.scalar_type()), tensor.sizes().vec());
    }
    std::vector<std::string> names;
    for (const auto& [name, tensor] : part) {
      write_tensor(writer, tensor);
      names.push_back(name);
    }
    writer.commit();
    return names;
  }

  AuthorsOptions options_;
  HfFolder teacher_;
};

}  // namespace littlebit::test
