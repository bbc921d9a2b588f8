// Each part of a tokenizer.json on its own, against what Hugging Face tokenizers gives
// (components.json).
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/decode_stream.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "unit/tokenizer/fixtures.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

using Ids = std::vector<int32_t>;

// The pieces of a stream joined by "|", or "failed".
std::string streamed(const Tokenizer& tokenizer, const Ids& ids) {
  DecodeStream stream(tokenizer);
  std::string joined;
  try {
    for (int32_t id : ids) {
      std::string piece = stream.step(id);
      if (!piece.empty()) joined += (joined.empty() ? "" : "|") + piece;
    }
  } catch (const InputError&) {
    return "failed";
  }
  return joined;
}

TEST_CASE("each part of tokenizer.json does what Hugging Face's does") {
  const Json all = read_json_file(tokenizer_fixtures() / "components.json");
  auto texts = all.at("texts").get<std::vector<std::string>>();
  REQUIRE(all.at("cases").size() >= 140);
  for (const Json& item : all.at("cases")) {
    CAPTURE(item.at("name"));
    Json whole = all.at("base");
    for (const auto& [key, value] : item.at("patch").items())
      whole[key] = key == "model" ? all.at("models").at(value.get<size_t>()) : value;
    TokenizerFolder folder;
    folder.write("tokenizer.json", to_json_line(whole));
    // transformers overrides add_prefix_space by that of the folder; here the part itself is meant.
    const Json& pre_tokenizer = whole["pre_tokenizer"];
    bool prefix = pre_tokenizer.is_object() && pre_tokenizer.value("add_prefix_space", false);
    folder.write("tokenizer_config.json", prefix ? R"({"add_prefix_space": true})" : "{}");
    auto tokenizer = load_tokenizer(folder.path());
    const Json& with_special =
        item.contains("ids_with_special") ? item["ids_with_special"] : item["ids"];
    std::vector<Ids> sample;
    for (size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(texts[i]);
      if (item["ids"][i].is_null()) continue;  // Hugging Face's own code fails there
      auto want = item["ids"][i].get<Ids>();
      CHECK(tokenizer->encode(texts[i], false) == want);
      CHECK(tokenizer->encode(texts[i], true) == with_special[i].get<Ids>());
      if (want.empty()) continue;
      want.resize(std::min<size_t>(want.size(), 64));
      sample.push_back(want);
    }
    Ids first;
    for (int32_t id = 0; id < std::min<int64_t>(32, tokenizer->vocab_size()); ++id)
      first.push_back(id);
    sample.push_back(first);
    REQUIRE(item.at("decoded").size() == sample.size());
    for (size_t i = 0; i < sample.size(); ++i) {
      CAPTURE(sample[i]);
      CHECK(tokenizer->decode(sample[i]) == item["decoded"][i].get<std::string>());
      CHECK(streamed(*tokenizer, sample[i]) == item["streamed"][i].get<std::string>());
    }
  }
}

}  // namespace
}  // namespace littlebit
