// Every family against what Hugging Face gives: golden strings, nasty strings, whole corpora.
#include <catch2/catch.hpp>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/hash.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "unit/tokenizer/fixtures.h"
#include "unit/tokenizer/golden_case.h"

namespace littlebit {
namespace {

using Ids = std::vector<int32_t>;

// As make_expected.py hashes: each list followed by -1.
void hash_ids(Hasher& hasher, Ids ids) {
  ids.push_back(-1);
  hasher.update(std::as_bytes(std::span(ids)));
}

TEST_CASE("every family gives the golden ids") {
  for (const std::string& family : tokenizer_families())
    if (const Tokenizer* tokenizer = family_tokenizer(family))
      check_expected(*tokenizer, tokenizer_fixtures() / family / "expected.json");
}

TEST_CASE("every family gives Hugging Face's ids for nasty strings") {
  Json nasty = read_json_file(tokenizer_fixtures() / "nasty.json");
  auto strings = nasty.at("strings").get<std::vector<std::string>>();
  REQUIRE(strings.size() == 400);
  for (const std::string& family : tokenizer_families()) {
    const Tokenizer* tokenizer = family_tokenizer(family);
    if (!tokenizer) continue;
    Hasher ids, ids_with_special, decoded;
    for (const std::string& text : strings) {
      Ids plain = tokenizer->encode(text, false);
      hash_ids(ids, plain);
      hash_ids(ids_with_special, tokenizer->encode(text, true));
      decoded.update(tokenizer->decode(plain));
      decoded.update(std::string_view("\0", 1));
    }
    const Json& want = nasty.at("families").at(family);
    CAPTURE(family);
    CHECK(ids.hex() == want.at("ids"));
    CHECK(ids_with_special.hex() == want.at("ids_with_special"));
    CHECK(decoded.hex() == want.at("decoded"));
  }
}

// WikiText rows joined as in the evaluation protocol: a line that is only white space counts as "".
std::string joined_wiki(const std::string& raw) {
  std::vector<std::string> rows = split(raw, '\n');
  rows.pop_back();
  std::string text;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) text += "\n\n";
    if (!trim(rows[i]).empty()) text += rows[i] + "\n";
  }
  return text;
}

TEST_CASE("every family gives Hugging Face's ids for whole corpora") {
  auto data = outside_fixtures() / "../data";
  auto wiki_file = data / "wikitext2/wiki.test.raw", c4_file = data / "c4/c4_train_first1000.jsonl";
  if (outside_fixtures().empty() || !std::filesystem::exists(wiki_file) ||
      !std::filesystem::exists(c4_file)) {
    print_skipped("corpora",
                  "LITTLEBIT_FIXTURES names no folder beside data/wikitext2 and data/c4");
    return;
  }
  std::string wiki = joined_wiki(read_file(wiki_file));
  std::vector<std::string> documents;
  for (const std::string& line : split(read_file(c4_file), '\n'))
    if (!line.empty()) documents.push_back(parse_json(line, "c4").at("text"));
  Json corpora = read_json_file(tokenizer_fixtures() / "corpora.json");
  REQUIRE(documents.size() == corpora.at("c4_documents"));
  for (const std::string& family : tokenizer_families()) {
    const Tokenizer* tokenizer = family_tokenizer(family);
    if (!tokenizer) continue;
    CAPTURE(family);
    const Json& want = corpora.at("families").at(family);
    Ids wiki_ids = tokenizer->encode(wiki, true);
    CHECK(wiki_ids.size() == want.at("wikitext2_test").at("ids"));
    Hasher wiki_hash, c4_hash;
    hash_ids(wiki_hash, wiki_ids);
    CHECK(wiki_hash.hex() == want.at("wikitext2_test").at("hash"));
    std::vector<Ids> lists(documents.size());  // on several threads, as the data room does
    parallel_for(static_cast<int64_t>(documents.size()), 2, [&](int64_t i) {
      lists[static_cast<size_t>(i)] = tokenizer->encode(documents[static_cast<size_t>(i)], true);
    });
    size_t count = 0;
    for (const Ids& ids : lists) {
      count += ids.size();
      hash_ids(c4_hash, ids);
    }
    CHECK(count == want.at("c4").at("ids"));
    CHECK(c4_hash.hex() == want.at("c4").at("hash"));
  }
}

}  // namespace
}  // namespace littlebit
