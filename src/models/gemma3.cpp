// Gemma 3: Gemma 2's block with q/k norm and a rotary base of their own for the layers with a
// window. Of a multimodal model the text model is taken.
#include <nlohmann/json.hpp>

#include "family.h"

namespace littlebit {
namespace {

// Every pattern-th layer sees everything, the others have a window and a rotary base of their own.
std::vector<bool> read_gemma3_layers(ConfigReader& reader, int64_t num_layers) {
  const char* key = reader.present("_sliding_window_pattern") ? "_sliding_window_pattern"
                                                              : "sliding_window_pattern";
  const int64_t pattern = reader.integer(key, 6, 1, 1 << 20);
  const auto slides = [](int64_t layer, int64_t period) { return (layer + 1) % period != 0; };
  if (const Json* kinds = reader.list("global_local_attention_pattern")) {
    Json expected = Json::array();
    for (int64_t layer = 0; layer < static_cast<int64_t>(kinds->size()); ++layer) {
      expected.push_back(slides(layer, pattern) ? "SLIDING_LOCAL" : "GLOBAL");
    }
    if (*kinds != expected) {
      reader.fail("global_local_attention_pattern", "what sliding_window_pattern says");
    }
  }
  return read_sliding_layers(reader, num_layers, slides, pattern);
}

RopeSpec read_local_rope(ConfigReader& reader, int64_t rotary_dim) {
  std::optional<ConfigReader> newer = rope_parameters(reader, "sliding_attention");
  RopeSpec rope{.kind = RopeKind::kDefault, .rotary_dim = rotary_dim};
  rope.theta = rope_number(reader, "rope_local_base_freq", newer, "rope_theta", 10000, 1, 1e30);
  if (!newer) return rope;
  if (newer->text("rope_type", "default") != "default") newer->fail("rope_type", "default");
  newer->refuse_unread("rope_parameters");
  return rope;
}

ModelSpec read_gemma3(ConfigReader& reader) {
  ModelSpec spec = read_gemma(reader, 262208, 131072, 1e6, /*rope_per_layer_kind=*/true);
  spec.qk_norm = true;
  reader.ignore("use_qk_norm");  // always there
  spec.logit_softcap = read_softcap(reader, "final_logit_softcapping", 0);
  if (read_softcap(reader, "attn_logit_softcapping", 0) != 0) {
    reader.fail("attn_logit_softcapping", "null: Gemma 3 has no cap on attention scores");
  }
  const std::vector<bool> sliding = read_gemma3_layers(reader, spec.num_layers);
  const char* key = reader.present("sliding_window_attention_size")
                        ? "sliding_window_attention_size"
                        : "sliding_window";
  set_windows(spec, sliding, read_window(reader, key, 4096));
  spec.uses_local_rope = sliding;
  spec.local_rope = read_local_rope(reader, spec.rope.rotary_dim);
  reader.finish("gemma3_text", spec);
  return spec;
}

}  // namespace

ModelSpec parse_gemma3_text(const Json& config) {
  ConfigReader reader(config, "");
  return read_gemma3(reader);
}

ModelSpec parse_gemma3(const Json& config) {
  ConfigReader whole(config, "");
  std::optional<ConfigReader> reader = whole.part("text_config");
  if (!reader) return parse_gemma3_text(config);  // a text model under the family's name
  if (reader->text("model_type", "gemma3_text") != "gemma3_text") {
    reader->fail("model_type", "gemma3_text");
  }
  ModelSpec spec = read_gemma3(*reader);
  if (whole.flag("tie_word_embeddings", spec.tied_embeddings) != spec.tied_embeddings) {
    whole.fail("tie_word_embeddings", "the same as in text_config");
  }
  spec.left_out = "the image encoder and its projector (vision_config)";
  for (const char* key : {"vision_config", "mm_tokens_per_image", "boi_token_index",
                          "eoi_token_index", "image_token_index"}) {
    whole.ignore(key);  // of the part that is left out
  }
  whole.finish("gemma3", spec);
  return spec;
}

}  // namespace littlebit
