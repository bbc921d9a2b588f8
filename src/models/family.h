// What the architecture files share: reading the settings that most families spell alike, and
// naming slots the way Hugging Face's Llama modules are named.
#pragma once

#include <optional>
#include <string>

#include "config_reader.h"
#include "littlebit/models/architectures.h"

namespace littlebit {

// Values of keys that config.json leaves out, as Hugging Face's configuration classes have them.
struct FamilyDefaults {
  int64_t vocab_size, hidden_size, intermediate_size, num_layers, num_heads;
  int64_t num_kv_heads = 0;  // 0: num_heads
  int64_t head_dim = 0;      // 0: hidden_size / num_heads
  int64_t max_positions;
  double norm_eps = 1e-6;
  double rope_theta = 10000;
  bool tied_embeddings = false;
  // Above 0: Phi's rotary settings (partial rotation, longrope under its old names "su" and "yarn")
  // with this original_max_position_embeddings.
  int64_t phi_original_positions = 0;
  // rope_parameters has an object for each kind of layer; the one for full_attention counts here.
  bool rope_per_layer_kind = false;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
};

// Sizes, norm epsilon, activation, tying and rotary embedding of a decoder in Llama's form.
ModelSpec read_llama_like(ConfigReader& reader, const FamilyDefaults& defaults);

// The same of a Gemma.
ModelSpec read_gemma(ConfigReader& reader, int64_t vocab_size, int64_t max_positions,
                     double rope_theta, bool rope_per_layer_kind);

Activation read_activation(ConfigReader& reader, const std::string& key,
                           const std::string& fallback);

// `rope_parameters`, where newer files (transformers 5) have what rope_theta and rope_scaling are
// in older ones: as a whole (kind ""), or its part for a kind of layer ("full_attention",
// "sliding_attention"). nullopt where it is missing or null.
std::optional<ConfigReader> rope_parameters(ConfigReader& reader, const std::string& kind);

// A number that stands in rope_parameters (`newer`, under newer_key), or in config.json itself
// (under key) in older files. In both it must be the same.
double rope_number(ConfigReader& reader, const std::string& key, std::optional<ConfigReader>& newer,
                   const std::string& newer_key, double fallback, double low, double high);

// A setting that null switches off: 0 for null, `fallback` where the key is missing.
int64_t read_window(ConfigReader& reader, const std::string& key, int64_t fallback);
double read_softcap(ConfigReader& reader, const std::string& key, double fallback);

// Per layer whether it is a sliding one: config.json's layer_types where it is there, else
// `fallback(layer)`.
std::vector<bool> read_sliding_layers(ConfigReader& reader, int64_t num_layers,
                                      bool (*fallback)(int64_t layer, int64_t argument),
                                      int64_t argument);

// spec.window from the layers that slide; empty where none does.
void set_windows(ModelSpec& spec, const std::vector<bool>& sliding, int64_t window);

// Names and sources of every slot and norm that the spec uses, in Llama's (where norms follow the
// sub-layers too, Gemma's) naming.
void name_llama_parts(const ModelSpec& spec, DecoderParts& parts);

// One slot from `module`.weight and .bias; one norm of `size` numbers likewise.
void name_slot(LinearSlot& slot, const std::string& module);
void name_norm(Norm& norm, const std::string& module, NormKind kind, int64_t size);

// The families' functions for the table in architectures.cpp, one file each.
ModelSpec parse_llama(const Json& config);
ModelSpec parse_mistral(const Json& config);
ModelSpec parse_qwen2(const Json& config);
ModelSpec parse_qwen3(const Json& config);
ModelSpec parse_phi3(const Json& config);
ModelSpec parse_gemma(const Json& config);
ModelSpec parse_gemma2(const Json& config);
ModelSpec parse_gemma3(const Json& config);
ModelSpec parse_gemma3_text(const Json& config);
ModelSpec parse_opt(const Json& config);
ModelSpec parse_starcoder2(const Json& config);
void name_phi3_parts(const ModelSpec& spec, DecoderParts& parts);
void name_opt_parts(const ModelSpec& spec, DecoderParts& parts);
void name_starcoder2_parts(const ModelSpec& spec, DecoderParts& parts);

}  // namespace littlebit
