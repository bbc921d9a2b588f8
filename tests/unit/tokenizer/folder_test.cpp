// Which file and class a folder's tokenizer is made by, and what is refused by name.
#include "littlebit/tokenizer/folder.h"

#include <signal.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/signals.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "unit/tokenizer/fixtures.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

using Ids = std::vector<int32_t>;

std::string error_of(const TokenizerFolder& folder) {
  try {
    load_tokenizer(folder.path());
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::kInput);
    return error.what();
  }
  return "no error";
}

Json small_tokenizer() {
  return parse_json(
      R"({"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})",
      "test");
}

TEST_CASE("added tokens may lie beyond the model's vocabulary, plain ones may not") {
  TokenizerFolder folder;
  Json json = small_tokenizer();
  folder.write("tokenizer.json", json.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->vocab_size() == 4);
  CHECK(tokenizer->plain_vocab_size() == 3);
  CHECK_NOTHROW(check_vocabulary(*tokenizer, 4));
  CHECK_NOTHROW(check_vocabulary(*tokenizer, 3));
  CHECK_THROWS_AS(check_vocabulary(*tokenizer, 2), UsageError);
  CHECK_THROWS_WITH(check_vocabulary(*tokenizer, 2),
                    Catch::Contains("3 ids") && Catch::Contains("vocabulary 2"));
  // Added tokens that the vocabulary lists too count as added.
  json["model"]["vocab"]["<s>"] = 3;
  folder.write("tokenizer.json", json.dump());
  CHECK(load_tokenizer(folder.path())->plain_vocab_size() == 3);

  TokenizerFolder pieces;
  pieces.copy(tokenizer_fixtures() / "wiki_llama" / "tokenizer.model");
  pieces.write("tokenizer_config.json",
               R"({"tokenizer_class": "LlamaTokenizer", "pad_token": "<image>"})");
  const auto from_pieces = load_tokenizer(pieces.path());
  CHECK(from_pieces->vocab_size() == 4097);
  CHECK(from_pieces->plain_vocab_size() == 4096);
}

TEST_CASE(
    "LlamaTokenizer with add_prefix_space is made from tokenizer.model, as transformers does") {
  auto source = tokenizer_fixtures() / "wiki_llama";
  TokenizerFolder folder;
  folder.copy(source / "tokenizer.model");
  folder.write("tokenizer.json", small_tokenizer().dump());
  folder.write("tokenizer_config.json",
               R"({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": true,
                                            "added_tokens_decoder": {}})");
  CHECK(load_tokenizer(folder.path())->vocab_size() == 4096);
  folder.write("tokenizer_config.json",
               R"({"tokenizer_class": "LlamaTokenizerFast", "eos_token": null,
                                            "unk_token": null})");
  auto from_json = load_tokenizer(folder.path());
  CHECK(from_json->encode("ab", true) == Ids{3, 2});  // BOS by the class, not by the file
  CHECK(from_json->encode("ab", false) == Ids{2});
}

TEST_CASE("both forms of wiki_llama give the same ids") {
  auto source = tokenizer_fixtures() / "wiki_llama";
  TokenizerFolder folder;
  folder.write("tokenizer.json", read_gzip(source / "tokenizer.json.gz"));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "legacy": true})");
  auto from_json = load_tokenizer(folder.path());
  const Tokenizer* from_model = family_tokenizer("wiki_llama");
  for (const char* text :
       {"", " ", "The cat sat.\n\n = Head = \n", "a<s>b </s>", "1234 \xF0\x9F\x98\x80\t"})
    CHECK(from_json->encode(text, true) == from_model->encode(text, true));
}

TEST_CASE("config.json names the class where tokenizer_config.json does not") {
  TokenizerFolder folder;
  folder.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "</s>": 3})");
  folder.write("merges.txt", "#version: 0.2\na b\n");
  folder.write("tokenizer_config.json",
               R"({"add_bos_token": true, "bos_token": "</s>", "eos_token": "</s>",
                                            "unk_token": "</s>"})");
  folder.write("config.json", R"({"model_type": "opt"})");
  CHECK(load_tokenizer(folder.path())->encode("ab", true) == Ids{3, 2});
  folder.write("config.json", R"({"model_type": "qwen3"})");
  CHECK(load_tokenizer(folder.path())->encode("ab", true) == Ids{2});
  folder.write("config.json", R"({"model_type": "llama"})");
  CHECK_THAT(error_of(folder), Catch::Contains("LlamaTokenizer") && Catch::Contains("merges.txt"));
  folder.write("config.json", R"({"model_type": "mamba"})");
  CHECK_THAT(error_of(folder), Catch::Contains("mamba"));
  folder.write("config.json", R"({"tokenizer_class": "BertTokenizer"})");
  CHECK_THAT(error_of(folder),
             Catch::Contains("BertTokenizer") && Catch::Contains("Qwen2Tokenizer"));
}

TEST_CASE("what is not understood is refused by name") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AA=="}})", "Precompiled"},
      {R"({"normalizer": {"type": "NFC", "strength": 3}})", "strength"},
      {R"({"normalizer": {"type": "Replace", "pattern": {"Regex": "x*"}, "content": ""}})",
       "match nothing"},
      {R"({"pre_tokenizer": {"type": "UnicodeScripts"}})", "UnicodeScripts"},
      {R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "\\p{Han}+"}, "behavior": "Isolated",
                             "invert": false}})",
       "Han"},
      {R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated",
                             "invert": false}})",
       "intersection"},
      {R"({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated",
                             "invert": false}})",
       "\\1"},
      {R"({"pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "Doubled",
                             "invert": false}})",
       "Doubled"},
      {R"({"pre_tokenizer": {"type": "Metaspace", "replacement": "__"}})", "one character"},
      {R"({"post_processor": {"type": "BertProcessing", "sep": ["a", 0], "cls": ["b", 1]}})",
       "BertProcessing"},
      {R"({"decoder": {"type": "CTC"}})", "CTC"},
      {R"({"model": {"type": "WordPiece", "vocab": {}}})", "WordPiece"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}})", "two tokens"},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}})", "\"b\""},
      {R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.1}})", "dropout"},
      {R"({"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 1}})", "unk_id"},
      {R"({"added_tokens": [{"id": 9, "content": "<x>"}]})", "<x>"},
      {R"({"version": "2.0"})", "2.0"},
      {R"({"tokenizer": 1})", "tokenizer"}};
  for (const auto& [patch, named] : cases) {
    Json whole = small_tokenizer();
    const Json changes = parse_json(patch, "test");
    for (const auto& [key, value] : changes.items()) whole[key] = value;
    TokenizerFolder folder;
    folder.write("tokenizer.json", whole.dump());
    CAPTURE(patch);
    CHECK_THAT(error_of(folder), Catch::Contains(named) && Catch::Contains("tokenizer.json"));
  }
}

TEST_CASE("a text that the model has no token for is an error where there is no unknown token") {
  Json whole = small_tokenizer();
  whole["model"] = {{"type", "Unigram"}, {"vocab", Json::array({Json::array({"a", 0.0})})}};
  whole["added_tokens"] = Json::array();
  TokenizerFolder folder;
  folder.write("tokenizer.json", whole.dump());
  auto tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->encode("aa", false) == Ids{0, 0});
  CHECK_THROWS_WITH(tokenizer->encode("ax", false), Catch::Contains("\"x\""));
}

TEST_CASE("a pattern that backtracks without end is stopped") {
  Json whole = small_tokenizer();
  whole["pre_tokenizer"] = {{"type", "Split"},
                            {"pattern", {{"Regex", "(?:a|a|ab|b)*c"}}},
                            {"behavior", "Isolated"},
                            {"invert", false}};
  TokenizerFolder folder;
  folder.write("tokenizer.json", whole.dump());
  std::string text;
  for (int i = 0; i < 60; ++i) text += "aab";
  text += "xc";
  CHECK_THROWS_WITH(load_tokenizer(folder.path())->encode(text, false),
                    Catch::Contains("backtracks"));
}

TEST_CASE("what patterns may cost is counted over all of a text, and a stop request ends it") {
  const auto with_splits = [](std::vector<const char*> patterns) {
    Json whole = small_tokenizer();
    Json steps = Json::array();
    for (const char* pattern : patterns) {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
    whole["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    TokenizerFolder folder;
    folder.write("tokenizer.json", whole.dump());
    return load_tokenizer(folder.path());
  };
  // Each word alone is within the limit of a match; 200 of them would take minutes.
  std::string text;
  for (int i = 0; i < 200; ++i) text += std::string(30, 'a') + " ";
  for (const auto& tokenizer :
       {with_splits({"(?:a|aa)+b|."}), with_splits({" ", "(?:a|aa)+b|."})}) {
    CHECK_THROWS_WITH(tokenizer->encode(text, false), Catch::Contains("backtracks"));
  }
  // What published patterns do to long runs stays far from it.
  const auto tokenizer = with_splits({R"(\d{1,3}(?=(?:\d{3})*(?!\d)))", R"(\s+(?!\S)|\s+|\S+)"});
  CHECK_NOTHROW(tokenizer->encode(std::string(20'000, '1'), false));
  CHECK_NOTHROW(tokenizer->encode(std::string(1 << 20, ' ') + "a", false));

  install_stop_handlers();
  raise(SIGTERM);
  CHECK_THROWS_WITH(with_splits({"(?:a|aa)+b|."})->encode(text, false), Catch::Contains("stopped"));
  clear_stop_request();
}

// Quadratic work on a megabyte would take many minutes; the limit leaves room for a slow, busy
// machine.
TEST_CASE("a megabyte of one thing takes no quadratic time") {
#if defined(__SANITIZE_ADDRESS__)
  constexpr size_t kSize = 1u << 17;  // which looks at memory, not at time, and is slow
#else
  constexpr size_t kSize = 1u << 20;
#endif
  auto repeated = [](std::string_view unit) {
    std::string text;
    while (text.size() < kSize) text += unit;
    return text;
  };
  const std::string texts[] = {repeated("a"),
                               repeated(" "),
                               repeated("\n"),
                               repeated("\xF0\x9F\x98\x80"),
                               repeated("etaoinshrdlu"),
                               repeated(" ") + "a",
                               repeated("e\xCC\x81\xCC\xA3")};
  for (const char* family :
       {"gpt2", "mistral_v3", "phi4_mini", "qwen2", "gemma_style", "stories260k"}) {
    const Tokenizer* tokenizer = family_tokenizer(family);
    for (const std::string& text : texts) {
      CAPTURE(family, text.substr(0, 12));
      auto start = std::chrono::steady_clock::now();
      Ids ids = tokenizer->encode(text, false);
      CHECK(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < 60.0);
      if (std::string_view(family) == "gpt2") CHECK(tokenizer->decode(ids) == text);
    }
  }
}

TEST_CASE("threads that share a tokenizer get the same ids") {
  const Tokenizer* tokenizer = family_tokenizer("mistral_v1");
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i)
    texts.push_back("text number " + std::to_string(i) + " of two hundred, one each");
  std::vector<Ids> want, got(texts.size());
  for (const std::string& text : texts) want.push_back(tokenizer->encode(text, true));
  parallel_for(static_cast<int64_t>(texts.size()), 4, [&](int64_t i) {
    got[static_cast<size_t>(i)] = tokenizer->encode(texts[static_cast<size_t>(i)], true);
  });
  CHECK(got == want);
}

}  // namespace
}  // namespace littlebit
