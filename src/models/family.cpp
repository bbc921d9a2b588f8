// What families share: Llama-like settings, RoPE, windows, soft caps, and the slots' names. Every
// number is held to bounds, so that a damaged one ends in a message and not in a huge allocation.
#include "family.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

// Bounds that no model comes near, so that a damaged number ends in a message and not in a huge
// allocation.
constexpr int64_t kMaxSize = 1 << 24, kMaxLayers = 4096, kMaxHeads = 1 << 16,
                  kMaxPositions = 1 << 30;

struct ActivationName {
  const char* name;
  Activation activation;
};
constexpr ActivationName kActivations[] = {
    {"silu", Activation::kSilu},         {"swish", Activation::kSilu},
    {"gelu", Activation::kGelu},         {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh}, {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
};

struct RopeName {
  const char* name;
  RopeKind kind;
};
constexpr RopeName kRopes[] = {
    {"default", RopeKind::kDefault},   {"linear", RopeKind::kLinear},
    {"dynamic", RopeKind::kDynamic},   {"llama3", RopeKind::kLlama3},
    {"longrope", RopeKind::kLongrope},
};

template <typename Table>
std::string names_of(const Table& table) {
  std::vector<std::string> names;
  for (const auto& entry : table) names.emplace_back(entry.name);
  return join(names, ", ");
}

std::vector<double> read_factors(ConfigReader& reader, const std::string& key, int64_t count) {
  const Json* list = reader.list(key);
  const std::string expected = "a list of " + std::to_string(count) + " positive numbers";
  if (list == nullptr || static_cast<int64_t>(list->size()) != count) reader.fail(key, expected);
  std::vector<double> factors;
  for (const Json& factor : *list) {
    if (!factor.is_number() || !(factor.get<double>() >= 1e-6 && factor.get<double>() <= 1e6)) {
      reader.fail(key, expected);
    }
    factors.push_back(factor.get<double>());
  }
  return factors;
}

constexpr char kYarn[] = "yarn";

// YaRN is told in longrope's form: a factor for each wave, the same at every length.
RopeKind read_rope_kind(ConfigReader& scaling, bool phi, const std::string& fallback) {
  const std::string older = scaling.text("type", fallback),
                    newer = scaling.text("rope_type", older);
  if (scaling.present("type") && older != newer) scaling.fail("type", "the same as rope_type");
  if (newer == kYarn || (phi && newer == "su")) return RopeKind::kLongrope;
  for (const RopeName& entry : kRopes) {
    if (newer == entry.name) return entry.kind;
  }
  scaling.fail(scaling.present("rope_type") ? "rope_type" : "type",
               "a supported rope type: " + names_of(kRopes) + ", " + kYarn);
}

double positive(ConfigReader& reader, const std::string& key) {
  if (!reader.present(key) || reader.is_null(key)) reader.fail(key, "a positive number");
  return reader.number(key, 0, 1e-6, 1e9);
}

// `older`: under rope_scaling, where Hugging Face takes max / original positions for the factor.
void read_longrope(ConfigReader& scaling, bool older, const ModelSpec& spec, RopeSpec& rope) {
  rope.short_factor = read_factors(scaling, "short_factor", rope.rotary_dim / 2);
  rope.long_factor = read_factors(scaling, "long_factor", rope.rotary_dim / 2);
  const int64_t original = rope.original_max_positions;
  if (scaling.integer("original_max_position_embeddings", original, 2, kMaxPositions) != original) {
    scaling.fail("original_max_position_embeddings", "the same as in config.json itself");
  }
  const double by_positions =
      static_cast<double>(spec.max_positions) / static_cast<double>(original);
  const double factor = scaling.number("factor", by_positions, 1e-6, 1e9);
  const double stretch = older ? by_positions : factor;
  const double scale =
      stretch <= 1 ? 1 : std::sqrt(1 + std::log(stretch) / std::log(static_cast<double>(original)));
  rope.attention_factor = scaling.number("attention_factor", scale, 1e-6, 1e6);
}

double yarn_scale(double stretch, double mscale) {
  return stretch <= 1 ? 1 : 0.1 * mscale * std::log(stretch) + 1;
}

// Long waves are stretched by the factor, short ones kept, those between blended by how often they
// turn within the length of training. `older`: under rope_scaling, where Hugging Face lets
// max / original positions stand for the factor.
void read_yarn(ConfigReader& scaling, bool older, const ModelSpec& spec, RopeSpec& rope) {
  const auto all = static_cast<double>(spec.max_positions);
  const bool has_original = scaling.present("original_max_position_embeddings") &&
                            !scaling.is_null("original_max_position_embeddings");
  rope.original_max_positions =
      scaling.integer("original_max_position_embeddings", spec.max_positions, 2, kMaxPositions);
  const auto trained = static_cast<double>(rope.original_max_positions);
  double stretch = has_original ? all / trained : positive(scaling, "factor");
  const double given = scaling.number("factor", stretch, 1e-6, 1e9);
  if (!older) stretch = given;
  const double mscale = scaling.number("mscale", 0, 0, 1e6),
               mscale_all = scaling.number("mscale_all_dim", 0, 0, 1e6);
  const bool by_two = mscale != 0 && mscale_all != 0;
  rope.attention_factor =
      scaling.number("attention_factor",
                     by_two ? yarn_scale(stretch, mscale) / yarn_scale(stretch, mscale_all)
                            : yarn_scale(stretch, 1),
                     1e-6, 1e6);
  const double fast = scaling.number("beta_fast", 32, 1e-6, 1e6),
               slow = scaling.number("beta_slow", 1, 1e-6, 1e6);
  const auto size = static_cast<double>(rope.rotary_dim);
  // The wave, as a dimension of the head, that turns so often in the length of training.
  const auto wave_of = [&](double turns) {
    return size * std::log(trained / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  if (rope.theta <= 1) scaling.fail("rope_type", "another one for a rope_theta of 1");
  const double first = std::max(std::floor(wave_of(fast)), 0.0);
  double last = std::min(std::ceil(wave_of(slow)), size - 1);
  if (first == last) last += 0.001;
  for (int64_t wave = 0; wave < rope.rotary_dim / 2; ++wave) {
    const double blend = std::clamp((static_cast<double>(wave) - first) / (last - first), 0.0, 1.0);
    rope.long_factor.push_back(1 / (blend / stretch + (1 - blend)));
  }
  rope.short_factor = rope.long_factor;
}

// What depends on the kind of rope; `original` is config.json's original_max_position_embeddings.
void read_scaling(ConfigReader& scaling, bool older, int64_t original, const ModelSpec& spec,
                  RopeSpec& rope) {
  switch (rope.kind) {
    case RopeKind::kNone:
    case RopeKind::kDefault:
      break;
    case RopeKind::kLinear:
      rope.factor = positive(scaling, "factor");
      break;
    case RopeKind::kDynamic:
      if (rope.rotary_dim < 4) scaling.fail("rope_type", "another one for heads of two dimensions");
      rope.factor = positive(scaling, "factor");
      rope.original_max_positions = spec.max_positions;
      scaling.ignore(
          "original_max_position_embeddings");  // Hugging Face takes max_position_embeddings
      break;
    case RopeKind::kLlama3:
      rope.factor = positive(scaling, "factor");
      rope.low_freq_factor = positive(scaling, "low_freq_factor");
      rope.high_freq_factor = positive(scaling, "high_freq_factor");
      if (rope.high_freq_factor <= rope.low_freq_factor) {
        scaling.fail("high_freq_factor", "more than low_freq_factor");
      }
      rope.original_max_positions =
          scaling.integer("original_max_position_embeddings", 0, 1, kMaxPositions);
      if (rope.original_max_positions == 0) {
        scaling.fail("original_max_position_embeddings", "a positive integer");
      }
      break;
    case RopeKind::kLongrope:
      rope.original_max_positions = original;
      read_longrope(scaling, older, spec, rope);
      break;
  }
}

RopeSpec read_rope(ConfigReader& reader, const FamilyDefaults& defaults, const ModelSpec& spec) {
  std::optional<ConfigReader> newer =
      rope_parameters(reader, defaults.rope_per_layer_kind ? "full_attention" : "");
  RopeSpec rope{.kind = RopeKind::kDefault};
  rope.theta = rope_number(reader, "rope_theta", newer, "rope_theta", defaults.rope_theta, 1, 1e30);
  const double part =
      rope_number(reader, "partial_rotary_factor", newer, "partial_rotary_factor", 1, 1e-6, 1);
  const bool phi = defaults.phi_original_positions > 0;
  if (part != 1 && !phi) {
    (newer ? *newer : reader).fail("partial_rotary_factor", "1 in this family");
  }
  rope.rotary_dim = static_cast<int64_t>(static_cast<double>(spec.head_dim) * part);
  if (rope.rotary_dim < 2 || rope.rotary_dim % 2 != 0) {
    throw InputError("config.json: " + std::to_string(rope.rotary_dim) + " of a head's " +
                     std::to_string(spec.head_dim) +
                     " dimensions would rotate, expected an even number above 0");
  }
  const int64_t original = reader.integer("original_max_position_embeddings",
                                          defaults.phi_original_positions, 2, kMaxPositions);
  std::optional<ConfigReader> older = reader.part("rope_scaling");
  if (older && newer) {
    if (!older->says_no_more_than(*newer)) {
      reader.fail("rope_scaling", "null, missing, or the same as rope_parameters");
    }
    older.reset();
  }
  std::optional<ConfigReader>& scaling = newer ? newer : older;
  if (!scaling) return rope;

  rope.kind = read_rope_kind(*scaling, phi, newer ? "default" : "");
  const bool yarn = !phi && scaling->text("rope_type", scaling->text("type", "")) == kYarn;
  if (rope.kind == RopeKind::kLongrope && !yarn && original == 0) {
    reader.fail("original_max_position_embeddings", "an integer above 1");
  }
  if (yarn) {
    read_yarn(*scaling, older.has_value(), spec, rope);
  } else {
    read_scaling(*scaling, older.has_value(), original, spec, rope);
  }
  scaling->refuse_unread(newer ? "rope_parameters" : "rope_scaling");
  return rope;
}

}  // namespace

std::optional<ConfigReader> rope_parameters(ConfigReader& reader, const std::string& kind) {
  std::optional<ConfigReader> whole = reader.part("rope_parameters");
  if (!whole || kind.empty()) return whole;
  if (whole->present("rope_theta")) {
    whole->fail("rope_theta",
                "nothing: it is supported only inside full_attention and sliding_attention");
  }
  for (const char* known : {"full_attention", "sliding_attention"}) whole->ignore(known);
  whole->refuse_unread("rope_parameters");
  return whole->part(kind);
}

double rope_number(ConfigReader& reader, const std::string& key, std::optional<ConfigReader>& newer,
                   const std::string& newer_key, double fallback, double low, double high) {
  const double older = reader.number(key, fallback, low, high);
  if (!newer) return older;
  const double value = newer->number(newer_key, older, low, high);
  if (value != older && reader.present(key) && !reader.is_null(key)) {
    newer->fail(newer_key, "the same as " + key + " beside rope_parameters");
  }
  return value;
}

Activation read_activation(ConfigReader& reader, const std::string& key,
                           const std::string& fallback) {
  const std::string name = reader.text(key, fallback);
  for (const ActivationName& entry : kActivations) {
    if (name == entry.name) return entry.activation;
  }
  reader.fail(key, "a supported activation: " + names_of(kActivations));
}

ModelSpec read_llama_like(ConfigReader& reader, const FamilyDefaults& defaults) {
  ModelSpec spec;
  spec.vocab_size = reader.integer("vocab_size", defaults.vocab_size, 1, kMaxSize);
  spec.hidden_size = reader.integer("hidden_size", defaults.hidden_size, 1, kMaxSize);
  spec.embedding_size = spec.hidden_size;
  spec.intermediate_size =
      reader.integer("intermediate_size", defaults.intermediate_size, 1, kMaxSize);
  spec.num_layers = reader.integer("num_hidden_layers", defaults.num_layers, 1, kMaxLayers);
  spec.num_heads = reader.integer("num_attention_heads", defaults.num_heads, 1, kMaxHeads);
  // null means as many as query heads (as wide as hidden / heads), a missing key the family's
  // default.
  const bool kv_default = !reader.present("num_key_value_heads") && defaults.num_kv_heads != 0;
  spec.num_kv_heads = reader.integer(
      "num_key_value_heads", kv_default ? defaults.num_kv_heads : spec.num_heads, 1, kMaxHeads);
  const bool dim_default = !reader.present("head_dim") && defaults.head_dim != 0;
  spec.head_dim = reader.integer(
      "head_dim", dim_default ? defaults.head_dim : spec.hidden_size / spec.num_heads, 1,
      kMaxHeads);
  spec.max_positions =
      reader.integer("max_position_embeddings", defaults.max_positions, 1, kMaxPositions);
  spec.norm_eps = reader.number("rms_norm_eps", defaults.norm_eps, 0, 1);
  spec.activation = read_activation(reader, defaults.activation_key, defaults.activation);
  spec.tied_embeddings = reader.flag("tie_word_embeddings", defaults.tied_embeddings);
  if (spec.head_dim == 0) {
    reader.fail("num_attention_heads", "at most hidden_size " + std::to_string(spec.hidden_size));
  }
  if (spec.num_heads % spec.num_kv_heads != 0) {
    reader.fail("num_attention_heads",
                "a multiple of num_key_value_heads " + std::to_string(spec.num_kv_heads));
  }
  spec.rope = read_rope(reader, defaults, spec);
  return spec;
}

int64_t read_window(ConfigReader& reader, const std::string& key, int64_t fallback) {
  if (reader.is_null(key)) return 0;
  return reader.integer(key, fallback, 1, INT64_C(1) << 40);
}

double read_softcap(ConfigReader& reader, const std::string& key, double fallback) {
  if (reader.is_null(key)) return 0;
  return reader.number(key, fallback, 1e-3, 1e9);
}

std::vector<bool> read_sliding_layers(ConfigReader& reader, int64_t num_layers,
                                      bool (*fallback)(int64_t layer, int64_t argument),
                                      int64_t argument) {
  std::vector<bool> sliding;
  const Json* types = reader.list("layer_types");
  if (types == nullptr) {
    for (int64_t layer = 0; layer < num_layers; ++layer)
      sliding.push_back(fallback(layer, argument));
    return sliding;
  }
  const std::string expected = "a list of " + std::to_string(num_layers) +
                               " times \"full_attention\" or \"sliding_attention\"";
  for (const Json& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      reader.fail("layer_types", expected);
    sliding.push_back(type == "sliding_attention");
  }
  if (static_cast<int64_t>(sliding.size()) != num_layers) reader.fail("layer_types", expected);
  return sliding;
}

void set_windows(ModelSpec& spec, const std::vector<bool>& sliding, int64_t window) {
  spec.window.clear();
  if (window == 0) return;
  for (const bool slides : sliding) spec.window.push_back(slides ? window : 0);
}

void name_slot(LinearSlot& slot, const std::string& module) {
  slot.name = module;
  slot.weight.tensor = module + ".weight";
  if (slot.has_bias) slot.bias.tensor = module + ".bias";
}

void name_norm(Norm& norm, const std::string& module, NormKind kind, int64_t size) {
  norm.weight.name = norm.weight.source.tensor = module + ".weight";
  norm.weight.size = size;
  if (kind != NormKind::kLayer) return;
  norm.bias.name = norm.bias.source.tensor = module + ".bias";
  norm.bias.size = size;
}

void name_llama_parts(const ModelSpec& spec, DecoderParts& parts) {
  parts.frozen_names = {.embedding = "model.embed_tokens.weight", .positions = ""};
  name_slot(parts.head, "lm_head");
  for (int64_t layer = 0; layer < spec.num_layers; ++layer) {
    Block& block = parts.blocks[layer];
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
    name_slot(block.q, attention + "q_proj");
    name_slot(block.k, attention + "k_proj");
    name_slot(block.v, attention + "v_proj");
    name_slot(block.o, attention + "o_proj");
    if (block.gate.used()) name_slot(block.gate, mlp + "gate_proj");
    if (block.up.used()) name_slot(block.up, mlp + "up_proj");
    if (block.gate_up.used()) name_slot(block.gate_up, mlp + "gate_up_proj");
    name_slot(block.down, mlp + "down_proj");
    name_norm(block.input_norm, prefix + "input_layernorm", spec.norm, spec.hidden_size);
    if (spec.sandwich_norms) {
      name_norm(block.post_attention_norm, prefix + "post_attention_layernorm", spec.norm,
                spec.hidden_size);
      name_norm(block.pre_mlp_norm, prefix + "pre_feedforward_layernorm", spec.norm,
                spec.hidden_size);
      name_norm(block.post_mlp_norm, prefix + "post_feedforward_layernorm", spec.norm,
                spec.hidden_size);
    } else {
      name_norm(block.pre_mlp_norm, prefix + "post_attention_layernorm", spec.norm,
                spec.hidden_size);
    }
    if (spec.qk_norm) {
      name_norm(block.q_norm, attention + "q_norm", NormKind::kRms, spec.head_dim);
      name_norm(block.k_norm, attention + "k_norm", NormKind::kRms, spec.head_dim);
    }
  }
  name_norm(parts.tail.final_norm, "model.norm", spec.norm, spec.hidden_size);
}

}  // namespace littlebit
