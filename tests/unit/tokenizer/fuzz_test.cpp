// Damaged tokenizer files and random texts: a clear error or a right result, in bounded time, never
// a crash.
#include <catch2/catch.hpp>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "support/paths.h"
#include "unit/tokenizer/fixtures.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

using Random = std::mt19937_64;
using Clock = std::chrono::steady_clock;
#if defined(__SANITIZE_ADDRESS__)  // some 20 times slower
constexpr int kFiles = 1'000, kStrings = 1'000;
#else
constexpr int kFiles = 20'000, kStrings = 20'000;
#endif

size_t below(Random& random, size_t n) { return static_cast<size_t>(random() % n); }

// What stands in such files, and what does not belong there.
const std::vector<std::string> kSnippets = {"null",
                                            "true",
                                            "-1",
                                            "4294967296",
                                            "1e99",
                                            "\"\"",
                                            "[]",
                                            "{}",
                                            "\"type\"",
                                            "\\u0000",
                                            "\\ud800",
                                            "(",
                                            "[^",
                                            "{9}",
                                            "*+",
                                            "(?i:",
                                            "\\\\p{L}",
                                            "(a*)*b",
                                            "<0x0A>",
                                            "\xE2\x96\x81",
                                            "\xC4\xA0",
                                            "\xFF",
                                            "\"Regex\"",
                                            "\"normalized\": true",
                                            "\"Metaspace\"",
                                            "\"Unigram\"",
                                            ",",
                                            ":",
                                            "}",
                                            "\n",
                                            "a b c",
                                            std::string(1, '\0')};

std::string damaged(std::string text, Random& random) {
  for (size_t changes = 1 + below(random, 3); changes > 0 && !text.empty(); --changes) {
    size_t at = below(random, text.size());
    size_t length = std::min(text.size() - at, 1 + below(random, 12));
    switch (below(random, 7)) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, length);
        break;
      case 2:
        text.insert(at, text.substr(at, length));
        break;
      case 3:
        text.insert(at, kSnippets[below(random, kSnippets.size())]);
        break;
      case 4:
        text.replace(at, length, kSnippets[below(random, kSnippets.size())]);
        break;
      case 5:
        text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
        break;
      default:
        if (below(random, 20) == 0)
          text.resize(at);
        else
          std::swap(text[at], text[below(random, text.size())]);
    }
  }
  return text;
}

// A value of the tree, reached by a random walk from the root, is changed or taken away.
std::string damaged_tree(const std::string& text, Random& random) {
  Json root = parse_json(text, "undamaged");
  for (size_t changes = 1 + below(random, 2); changes > 0; --changes) {
    Json* node = &root;
    Json* parent = nullptr;
    while ((node->is_object() || node->is_array()) && !node->empty() && below(random, 6) > 0) {
      parent = node;
      node = &*std::next(node->begin(), static_cast<ptrdiff_t>(below(random, node->size())));
    }
    static const Json kValues[] = {nullptr,
                                   true,
                                   false,
                                   0,
                                   1,
                                   7,
                                   -1,
                                   300,
                                   1u << 31,
                                   1e300,
                                   "",
                                   "a",
                                   "Isolated",
                                   "first",
                                   "\xC4\xA0",
                                   "\xE2\x96\x81",
                                   "(a*)*b",
                                   "\\p{L}+|\\s",
                                   "[",
                                   Json::array(),
                                   Json::object(),
                                   Json::array({"a", "b"}),
                                   {{"String", " "}},
                                   {{"Regex", "\\s+|a{1,900}"}},
                                   {{"type", "NFC"}}};
    switch (below(random, 5)) {
      case 0:
        if (parent && parent->is_object())
          parent->erase(
              std::next(parent->begin(), static_cast<ptrdiff_t>(below(random, parent->size()))));
        break;
      case 1:
        if (node->is_string()) *node = node->get<std::string>() + node->get<std::string>();
        if (node->is_array() && !node->empty()) node->push_back(node->front());
        break;
      case 2:
        if (node->is_boolean()) *node = !node->get<bool>();
        if (node->is_number_integer()) *node = node->get<int64_t>() + 1;
        if (node->is_string()) *node = node->get<std::string>().substr(0, 1);
        break;
      default:
        *node = kValues[below(random, std::size(kValues))];
    }
  }
  return to_json_line(root);
}

// One folder: its files by name, the first is the one to damage.
using Files = std::vector<std::pair<std::string, std::string>>;

// Small tokenizers with every part there is, each below 50 kB.
std::vector<Files> small_folders() {
  std::vector<Files> folders;
  const Json all = read_json_file(tokenizer_fixtures() / "components.json");
  Json model = all.at("base").at("model");
  Json merges = Json::array(), vocab = Json::object();
  for (size_t i = 0; i < 20; ++i) merges.push_back(model["merges"][i]);
  for (const auto& [token, id] : model["vocab"].items())
    if (id < 276) vocab[token] = id;
  model["merges"] = merges;
  model["vocab"] = vocab;
  for (const Json& item : all.at("cases")) {
    Json whole = all.at("base");
    whole["model"] = model;
    for (const auto& [key, value] : item.at("patch").items())
      if (key != "model" && key != "added_tokens") whole[key] = value;
    if (folders.size() % 3 == 0)
      whole["added_tokens"] = {
          {{"id", 276}, {"content", "[X]"}, {"rstrip", true}, {"normalized", true}},
          {{"id", 277}, {"content", "<s>"}, {"special", true}, {"lstrip", true}}};
    folders.push_back({{"tokenizer.json", to_json_line(whole)}});
  }
  for (const Json& some : all.at("models")) {
    if (to_json_line(some).size() > 20'000) continue;
    Json whole = all.at("base");
    whole["model"] = some;
    whole["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\xE2\x96\x81"}};
    folders.push_back({{"tokenizer.json", to_json_line(whole)}});
  }
  const auto stories = tokenizer_fixtures() / "stories260k";
  std::string sentencepiece = read_file(stories / "tokenizer.model");
  std::string config = read_file(stories / "tokenizer_config.json");
  std::string merges_text = "#version: 0.2\n";
  for (const Json& merge : merges)
    merges_text += merge[0].get<std::string>() + " " + merge[1].get<std::string>() + "\n";
  const std::string gpt2 =
      R"({"tokenizer_class": "GPT2Tokenizer", "bos_token": "a", "add_bos_token": true})";
  for (int i = 0; i < 12; ++i) {
    folders.push_back({{"tokenizer.model", sentencepiece}, {"tokenizer_config.json", config}});
    folders.push_back({{"tokenizer_config.json", config}, {"tokenizer.model", sentencepiece}});
    folders.push_back({{"merges.txt", merges_text},
                       {"vocab.json", to_json_line(vocab)},
                       {"tokenizer_config.json", gpt2}});
    folders.push_back({{"tokenizer_config.json", gpt2},
                       {"merges.txt", merges_text},
                       {"vocab.json", to_json_line(vocab)}});
  }
  return folders;
}

const std::vector<std::string> kTexts = {
    "", "the cat <s>sat</s> [X]  on  the mat\n\n",
    "don't 123 \xC3\xA9\xCC\x81 \xE4\xB8\xAD\xF0\x9F\x98\x80\xE2\x96\x81x",
    std::string(300, 'a') + "b", std::string("\0\x01\x7F", 3) + std::string(200, ' ') + "\t\r\n"};

TEST_CASE("damaged tokenizer files give a clear error or a working tokenizer") {
  Random random(7);
  const std::vector<Files> folders = small_folders();
  REQUIRE(folders.size() > 150);
  TokenizerFolder scratch;
  for (const Files& files : folders) {  // each of them is good to begin with
    TokenizerFolder folder;
    for (const auto& [name, text] : files) folder.write(name, text);
    CHECK_NOTHROW(load_tokenizer(folder.path()));
  }
  auto damage = [&](const std::pair<std::string, std::string>& file) {
    bool tree = file.first.ends_with(".json") && below(random, 3) > 0;
    return tree ? damaged_tree(file.second, random) : damaged(file.second, random);
  };
  int refused = 0, loaded = 0;
  for (int i = 0; i < kFiles; ++i) {
    const Files& files = folders[below(random, folders.size())];
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
      std::filesystem::remove(entry.path());
    for (size_t f = 0; f < files.size(); ++f)
      scratch.write(files[f].first, f > 0 ? files[f].second : damage(files[0]));
    auto start = Clock::now();
    std::unique_ptr<Tokenizer> tokenizer;
    std::string what;
    try {
      tokenizer = load_tokenizer(scratch.path());
      ++loaded;
      for (const std::string& text : kTexts) {
        auto ids = tokenizer->encode(text, true);
        for (int32_t id : ids)
          if (id < 0 || id >= tokenizer->vocab_size()) what = "an id outside the vocabulary";
        tokenizer->decode(ids);
      }
    } catch (const Error& error) {
      ++refused;
      if (error.code() != ExitCode::kInput || std::string(error.what()).empty())
        what = error.what();
    } catch (const std::exception& error) {
      what = std::string("not an error of ours: ") + error.what();
    }
    double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!what.empty() || seconds > 20.0) {
      CAPTURE(i, what, seconds, files[0].first);
      std::filesystem::copy_file(
          scratch.path() / files[0].first,
          std::filesystem::path(littlebit::test::kBinaryDir) / ("fuzz-" + files[0].first),
          std::filesystem::copy_options::overwrite_existing);
      FAIL_CHECK("the damaged file is kept in the build folder as fuzz-" << files[0].first);
    }
  }
  CHECK(refused > kFiles / 10);
  CHECK(loaded > kFiles / 10);
}

TEST_CASE("random bytes are refused where they are not UTF-8, and come back where they are") {
  Random random(8);
  const Tokenizer* gpt2 = family_tokenizer("gpt2");
  const Tokenizer* others[] = {family_tokenizer("mistral_v1"), family_tokenizer("stories260k"),
                               family_tokenizer("gemma_style"), family_tokenizer("mistral_v3")};
  int valid = 0;
  for (int i = 0; i < kStrings; ++i) {
    std::string text;
    size_t kind = below(random, 4);  // bytes, snippets, Latin-1 and beyond
    for (size_t n = below(random, 40); n > 0; --n) {
      if (kind == 0)
        text.push_back(static_cast<char>(random()));
      else if (kind == 1)
        text += kSnippets[below(random, kSnippets.size())];
      else if (kind == 2)
        text += kTexts[below(random, 3)].substr(0, below(random, 12)) + "\xC3\xBC";
      else
        text += std::string(1, static_cast<char>(0xE0 + below(random, 13))) +
                "\x81\xB0\xF0\x9F\x98\x80 '";
    }
    size_t bad = invalid_utf8_at(text);
    CAPTURE(i, text);
    if (bad != std::string::npos) {
      CHECK_THROWS_WITH(gpt2->encode(text, true), Catch::Contains("offset " + std::to_string(bad)));
      continue;
    }
    ++valid;
    if (gpt2->decode(gpt2->encode(text, false)) != text)
      FAIL_CHECK("GPT-2 does not give the text back");
    for (const Tokenizer* other : others)
      for (int32_t id : other->encode(text, true))
        if (id < 0 || id >= other->vocab_size()) FAIL_CHECK("an id outside the vocabulary");
  }
  CHECK(valid > kStrings / 3);
}

}  // namespace
}  // namespace littlebit
