// CodeLlama's class against transformers 4.51.3: Llama's conversion, and four tokens of its own
// that are special though no file lists them (one is renamed in the fixture).
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

TEST_CASE("CodeLlama's class gives its ids, special tokens among them") {
  const auto folder = tokenizer_fixture("code_llama");
  const auto tokenizer = load_tokenizer(folder);
  const Json expected = read_json_file(folder / "expected.json");
  CHECK(tokenizer->vocab_size() == expected["size"].get<int64_t>());
  for (size_t i = 0; i < expected["strings"].size(); ++i) {
    const auto text = expected["strings"][i].get<std::string>();
    CAPTURE(text);
    const auto ids = expected["ids"]["with"][i].get<std::vector<int32_t>>();
    CHECK(tokenizer->encode(text, true) == ids);
    CHECK(tokenizer->encode(text, false) ==
          expected["ids"]["without"][i].get<std::vector<int32_t>>());
    CHECK(tokenizer->decode(ids) == expected["decoded"][i].get<std::string>());
  }
}

}  // namespace
}  // namespace littlebit
