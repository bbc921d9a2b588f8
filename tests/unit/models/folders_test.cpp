// The forms a checkpoint comes in: names with and without prefixes, tied matrices stored once,
// twice or under the other name, multimodal folders, missing and wrong tensors.
#include <ATen/ops/equal.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "fixtures.h"
#include "littlebit/core/error.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"
#include "rewrite.h"
#include "temp_folder.h"

namespace littlebit {
namespace {

NewTensor as_is(const TensorView& view) { return {{view.name}, view.dtype}; }

at::Tensor logits_of(const std::filesystem::path& path, const at::Tensor& ids) {
  LoadedModel model(path);
  return forward_full(model.decoder, ids, false).logits;
}

// The rewritten folder gives exactly what the fixture itself gives.
void check_same(
    const Fixture& original, const std::function<NewTensor(const TensorView&)>& rewrite,
    const std::function<void(Json&)>& edit = [](Json&) {}) {
  const TempFolder temp;
  rewrite_model(original.path(), temp / "model", rewrite, edit);
  const at::Tensor ids = original.expected("input_ids");
  CHECK(at::equal(logits_of(temp / "model", ids), logits_of(original.path(), ids)));
}

std::string without_model(const std::string& name) {
  return name.starts_with("model.") ? name.substr(6) : name;
}

TEST_CASE("names without the leading model. are found") {
  for (const char* name : {"llama_gqa", "phi4", "opt_350m", "gemma3", "qwen3"}) {
    check_same(fixture(name), [](const TensorView& view) {
      return NewTensor{{without_model(view.name)}, view.dtype};
    });
  }
}

TEST_CASE("a tied matrix may be stored once, twice or under the head's name") {
  for (const char* name : {"llama_tied", "gemma2", "opt"}) {
    const auto embedding = [](const TensorView& view) {
      return view.name.ends_with("embed_tokens.weight");
    };
    check_same(fixture(name), [&](const TensorView& view) {
      if (!embedding(view)) return as_is(view);
      return NewTensor{{view.name, "lm_head.weight"}, view.dtype};
    });
    check_same(fixture(name), [&](const TensorView& view) {
      return embedding(view) ? NewTensor{{"lm_head.weight"}, view.dtype} : as_is(view);
    });
  }
}

TEST_CASE("a redundant tied head is accounted for, other tensors are reported") {
  LoadedModel model(fixture("llama_tied_copy").path());
  CHECK(model.folder.unused().empty());
  CHECK(dense_weight(model.decoder.head()).is_same(model.decoder.frozen().embedding));
  LoadedModel extra(fixture("llama_mqa_mixed").path());
  CHECK(extra.folder.unused() ==
        std::vector<std::string>{"aa_unused.flags", "model.layers.0.self_attn.masked_bias",
                                 "model.position_ids", "zz_unused.weight"});
}

TEST_CASE("of a multimodal Gemma 3 the text model is taken, whatever its prefix") {
  const auto wrap = [](Json& config) {
    Json text = config;
    config = {{"model_type", "gemma3"},
              {"architectures", {"Gemma3ForConditionalGeneration"}},
              {"text_config", text},
              {"vision_config", {{"hidden_size", 8}, {"model_type", "siglip_vision_model"}}},
              {"mm_tokens_per_image", 256},
              {"image_token_index", 255},
              {"eos_token_id", {1, 106}}};
  };
  const Fixture text = fixture("gemma3");
  check_same(
      text,
      [](const TensorView& view) {
        return NewTensor{{"language_model." + view.name}, view.dtype};
      },
      wrap);
  check_same(
      text,
      [](const TensorView& view) {
        return NewTensor{{"model.language_model." + without_model(view.name)}, view.dtype};
      },
      wrap);

  HfFolder folder(text.path());
  Json whole = folder.config();
  wrap(whole);
  const ModelSpec spec = parse_model_spec(whole);
  CHECK(spec.left_out.find("vision_config") != std::string::npos);
  CHECK(parse_model_spec(folder.config()).left_out.empty());
  // The text model as a model of its own.
  const Json alone = decoder_config(whole);
  CHECK(alone["model_type"] == "gemma3_text");
  CHECK_FALSE(alone.contains("vision_config"));
  CHECK(parse_model_spec(alone).window == spec.window);
  CHECK(decoder_config(folder.config()) == folder.config());
}

TEST_CASE("missing, misshapen, quantised and damaged tensors are refused by name") {
  const Fixture original = fixture("qwen2");
  const std::string victim = "model.layers.1.self_attn.k_proj.bias";
  const auto load_rewritten = [&](const std::function<NewTensor(const TensorView&)>& rewrite) {
    const TempFolder temp;
    rewrite_model(original.path(), temp / "model", rewrite);
    LoadedModel model(temp / "model");
  };
  CHECK_THROWS_WITH(load_rewritten([&](const TensorView& view) {
                      return view.name == victim ? NewTensor{{}, view.dtype} : as_is(view);
                    }),
                    Catch::Contains(victim));
  CHECK_THROWS_WITH(load_rewritten([&](const TensorView& view) {
                      return view.name == victim ? NewTensor{{victim}, Dtype::kI8} : as_is(view);
                    }),
                    Catch::Contains(victim) && Catch::Contains("I8"));
  CHECK_THROWS_WITH(load_rewritten([&](const TensorView& view) {
                      if (view.name == victim) return NewTensor{{"somewhere.else"}, view.dtype};
                      if (view.name.ends_with("1.self_attn.q_proj.bias"))
                        return NewTensor{{view.name, victim}, view.dtype};
                      return as_is(view);
                    }),
                    Catch::Contains(victim) && Catch::Contains("[64]") && Catch::Contains("[32]"));
}

TEST_CASE("an untied model without a head is refused") {
  const TempFolder temp;
  rewrite_model(fixture("llama_tied").path(), temp / "model", as_is,
                [](Json& config) { config["tie_word_embeddings"] = false; });
  CHECK_THROWS_WITH(LoadedModel(temp / "model"), Catch::Contains("lm_head.weight"));
}

TEST_CASE("a fused matrix with other rows than its parts is refused") {
  const Fixture original = fixture("phi4");
  HfFolder folder(original.path());
  folder.open_tensors();
  Json config = folder.config();
  config["num_key_value_heads"] = 1;  // parts of a longer matrix would still be there
  CHECK_THROWS_WITH(load_decoder(folder, parse_model_spec(config), at::kFloat, at::kCPU),
                    Catch::Contains("qkv_proj"));
}

}  // namespace
}  // namespace littlebit
