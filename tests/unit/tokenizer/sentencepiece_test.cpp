// tokenizer.model folders: the golden strings, and what tokenizer_config.json changes.
#include <catch2/catch.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/tokenizer/folder.h"
#include "unit/tokenizer/golden_case.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

using Ids = std::vector<int32_t>;

std::string error_of(const std::filesystem::path& folder) {
  try {
    load_tokenizer(folder);
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kInput);
    return error.what();
  }
  return "no error";
}

TEST_CASE("SentencePiece folders give the golden ids") {
  for (const char* family : {"mistral_v1", "stories260k"}) {
    auto tokenizer = load_tokenizer(tokenizer_fixture(family));
    check_expected(*tokenizer, tokenizer_fixture(family) / "expected.json");
  }
}

TEST_CASE("tokenizer_config.json decides on BOS, EOS and the leading space") {
  TokenizerFolder folder;
  folder.copy(tokenizer_fixture("mistral_v1") / "tokenizer.model");
  const Ids hello = load_tokenizer(tokenizer_fixture("mistral_v1"))->encode("hello", false);

  SECTION("without the file: Llama's defaults") {
    auto tokenizer = load_tokenizer(folder.path());
    CHECK(tokenizer->vocab_size() == 32000);
    CHECK(tokenizer->encode("hello", false) == hello);
    CHECK(tokenizer->encode("", false) == Ids{});
    CHECK(tokenizer->encode("", true) == Ids{1});
    CHECK(tokenizer->encode("</s>", true) == Ids{1, 2});
  }
  SECTION("EOS instead of BOS, by other names") {
    folder.write("tokenizer_config.json",
                 R"({"add_bos_token": false, "add_eos_token": true, "eos_token": "<unk>"})");
    Ids want = hello;
    want.push_back(0);
    CHECK(load_tokenizer(folder.path())->encode("hello", true) == want);
  }
  SECTION("not legacy: only the first text gets a leading space, and only if it has none") {
    folder.write("tokenizer_config.json", R"({"legacy": false})");
    auto tokenizer = load_tokenizer(folder.path());
    CHECK(tokenizer->encode("hello", false) == hello);
    CHECK(tokenizer->encode(" hello", false) == hello);
    Ids after_token = tokenizer->encode("</s> hello", false);
    REQUIRE(after_token.size() == hello.size() + 1);
    CHECK(Ids(after_token.begin() + 1, after_token.end()) == hello);
    CHECK(tokenizer->encode("</s>hello", false) != after_token);
  }
  SECTION("an added token after the model's own pieces") {
    folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {"32000":
        {"content": "<|x|>", "normalized": false, "special": false, "rstrip": true}}})");
    auto tokenizer = load_tokenizer(folder.path());
    CHECK(tokenizer->vocab_size() == 32001);
    CHECK(tokenizer->encode("<|x|>  \n", false) == Ids{32000});
    CHECK(tokenizer->decode(Ids{32000}) == "<|x|>");
  }
  SECTION("an added token whose id is another piece's") {
    folder.write("tokenizer_config.json",
                 R"({"added_tokens_decoder": {"7": {"content": "<|x|>"}}})");
    CHECK_THAT(error_of(folder.path()), Catch::Contains("<|x|>") && Catch::Contains("7"));
  }
}

TEST_CASE("the content hash follows every file that decides the ids") {
  TokenizerFolder folder;
  folder.copy(tokenizer_fixture("stories260k") / "tokenizer.model");
  std::string plain = load_tokenizer(folder.path())->content_hash();
  CHECK(plain.size() == 32);
  CHECK(load_tokenizer(folder.path())->content_hash() == plain);
  folder.write("tokenizer_config.json", R"({"add_eos_token": true})");
  CHECK(load_tokenizer(folder.path())->content_hash() != plain);
}

TEST_CASE("wrong input is refused with what and where") {
  auto tokenizer = load_tokenizer(tokenizer_fixture("stories260k"));
  CHECK_THROWS_WITH(tokenizer->encode("ab\xFFxy", false), Catch::Contains("offset 2"));
  CHECK_THROWS_WITH(tokenizer->decode(Ids{1, 512}), Catch::Contains("512"));
  CHECK_THROWS_AS(tokenizer->decode(Ids{-1}), InputError);

  TokenizerFolder folder;
  CHECK_THAT(error_of(folder.path() / "missing"), Catch::Contains("missing"));
  CHECK_THAT(error_of(folder.path()), Catch::Contains("no supported tokenizer"));

  std::string bytes = read_file(tokenizer_fixture("stories260k") / "tokenizer.model");
  folder.write("tokenizer.model", bytes.substr(0, bytes.size() / 2));
  CHECK_THAT(error_of(folder.path()), Catch::Contains("tokenizer.model"));
  folder.write("tokenizer.model", "IQ== 0\nIg== 1\n");
  CHECK_THAT(error_of(folder.path()), Catch::Contains("not a SentencePiece model"));
}

}  // namespace
}  // namespace littlebit
