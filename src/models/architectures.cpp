// The table of families. A new architecture: its file, a line in family.h, a row here, a fixture.
#include "littlebit/models/architectures.h"

#include <nlohmann/json.hpp>

#include "family.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", parse_llama, name_llama_slots},
    {"mistral", parse_mistral, name_llama_slots},
    {"qwen2", parse_qwen2, name_llama_slots},
    {"qwen3", parse_qwen3, name_llama_slots},
    {"phi3", parse_phi3, name_phi3_slots},
    {"phi4", parse_phi3, name_phi3_slots},  // some copies of Phi-4-mini call it so
    {"gemma2", parse_gemma2, name_llama_slots},
    {"gemma3", parse_gemma3, name_llama_slots},
    {"gemma3_text", parse_gemma3_text, name_llama_slots},
    {"opt", parse_opt, name_opt_slots},
};

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

ModelSpec parse_model_spec(const Json& config) {
  ConfigReader reader(config, "");
  const std::string model_type = reader.text("model_type", "");
  if (model_type.empty()) reader.fail("model_type", "the name of an architecture");
  ModelSpec spec = find_architecture(model_type).parse(config);
  spec.model_type = model_type;
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
