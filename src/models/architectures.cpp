// The table of families. A new architecture: its file, a line in family.h, a row here, a fixture.
#include "littlebit/models/architectures.h"

#include <nlohmann/json.hpp>

#include "family.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", parse_llama, name_llama_parts},
    {"mistral", parse_mistral, name_llama_parts},
    {"qwen2", parse_qwen2, name_llama_parts},
    {"qwen3", parse_qwen3, name_llama_parts},
    {"phi3", parse_phi3, name_phi3_parts},
    {"phi4", parse_phi3, name_phi3_parts},  // some copies of Phi-4-mini call it so
    {"gemma", parse_gemma, name_llama_parts},
    {"gemma2", parse_gemma2, name_llama_parts},
    {"gemma3", parse_gemma3, name_llama_parts},
    {"gemma3_text", parse_gemma3_text, name_llama_parts},
    {"opt", parse_opt, name_opt_parts},
    {"starcoder2", parse_starcoder2, name_starcoder2_parts},
};

// Each size may be one that some model has; together they must make one that some machine holds,
// so that sums of bytes stay far from the ends of their integers.
void check_size(const ModelSpec& spec) {
  constexpr double kMaxWeights = 1e15;
  const auto hidden = static_cast<double>(spec.hidden_size),
             dim = static_cast<double>(spec.head_dim);
  const double heads = static_cast<double>(2 * spec.num_heads + 2 * spec.num_kv_heads) * dim;
  const double block = hidden * (heads + 3 * static_cast<double>(spec.intermediate_size));
  const auto embedding = static_cast<double>(spec.embedding_size);
  const double tables =
      embedding * 2 * static_cast<double>(spec.vocab_size) +
      (spec.learned_positions ? hidden * static_cast<double>(spec.max_positions) : 0);
  const double weights = static_cast<double>(spec.num_layers) * block + tables;
  if (weights <= kMaxWeights) return;
  throw InputError("config.json: its sizes make a model of " + format_digits(weights, 3) +
                       " weights, more than any machine holds",
                   "take the config.json that came with the tensor files");
}

}  // namespace

std::span<const Architecture> architectures() { return kArchitectures; }

const Architecture& find_architecture(const std::string& model_type) {
  std::vector<std::string> names;
  for (const Architecture& architecture : kArchitectures) {
    if (model_type == architecture.model_type) return architecture;
    names.emplace_back(architecture.model_type);
  }
  throw InputError("config.json: model_type '" + model_type + "' is not supported",
                   "supported are " + join(names, ", "));
}

Decoder empty_decoder(const ModelSpec& spec, at::ScalarType compute_dtype, at::Device device) {
  DecoderParts parts = open_parts(spec);
  find_architecture(spec.model_type).name_parts(spec, parts);
  return {spec, std::move(parts), compute_dtype, device};
}

ModelSpec parse_model_spec(const Json& config) {
  ConfigReader reader(config, "");
  const std::string model_type = reader.text("model_type", "");
  if (model_type.empty()) reader.fail("model_type", "the name of an architecture");
  ModelSpec spec = find_architecture(model_type).parse(config);
  spec.model_type = model_type;
  check_size(spec);
  return spec;
}

Json decoder_config(const Json& config) {
  const auto text = config.find("text_config");
  if (text == config.end() || !text->is_object()) return config;
  Json decoder = *text;
  for (const char* key : {"torch_dtype", "dtype", "transformers_version", "bos_token_id",
                          "eos_token_id", "pad_token_id"}) {
    if (!decoder.contains(key) && config.contains(key)) decoder[key] = config[key];
  }
  decoder["model_type"] = "gemma3_text";
  decoder["architectures"] = {"Gemma3ForCausalLM"};
  return decoder;
}

}  // namespace littlebit
