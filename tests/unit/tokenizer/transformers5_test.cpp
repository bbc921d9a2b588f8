// Folders as transformers 5 saves them: tokenizer.json says all, whatever class is named.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "unit/tokenizer/golden_case.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

using Ids = std::vector<int32_t>;

// The fixture with other settings in tokenizer_config.json.
Ids ids_with(const Json& patch, const std::string& text) {
  const std::filesystem::path fixture = tokenizer_fixture("stories260k_v5");
  TokenizerFolder folder;
  folder.copy(fixture / "tokenizer.json");
  Json config = read_json_file(fixture / "tokenizer_config.json");
  config.update(patch);
  folder.write("tokenizer_config.json", to_json_line(config));
  return load_tokenizer(folder.path())->encode(text, true);
}

TEST_CASE("a tokenizer saved by transformers 5 gives its ids") {
  const auto folder = tokenizer_fixture("stories260k_v5");
  check_expected(*load_tokenizer(folder), folder / "expected.json");
}

TEST_CASE("transformers 5: classes and flags change nothing, new special tokens keep their order") {
  const Ids plain = {1, 403, 407, 410, 504, 412, 505, 504, 430, 505};  // by transformers 5.23
  for (const Json& patch : {Json::object(), Json{{"tokenizer_class", "TokenizersBackend"}},
                            Json{{"add_bos_token", false}}, Json{{"add_eos_token", true}},
                            Json{{"legacy", true}}, Json{{"tokenizer_class", "OfATimeToCome"}}}) {
    CAPTURE(to_json_line(patch));
    CHECK(ids_with(patch, "Once upon <a><b>") == plain);
  }
  CHECK(ids_with({{"extra_special_tokens", {"<a>", "<b>"}}}, "Once upon <a><b>") ==
        Ids{1, 403, 407, 410, 512, 513});
  CHECK(ids_with({{"extra_special_tokens", {"<b>", "<a>"}}}, "Once upon <a><b>") ==
        Ids{1, 403, 407, 410, 513, 512});
}

}  // namespace
}  // namespace littlebit
