// Parquet files that pyarrow wrote (tests/golden/make_parquet.py) against the same rows as jsonl,
// and files that are not what they say. Where the Parquet library was not built, that it says so.
#include "littlebit/data/parquet.h"

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/data/corpus.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/records.h"
#include "littlebit/data/token_file.h"
#include "support/paths.h"
#include "unit/data/byte_tokenizer.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

using Documents = std::vector<std::string>;
namespace fs = std::filesystem;

const fs::path kFixtures = fs::path(kSourceDir) / "tests/golden/parquet";

bool is_built() {
  std::string problem;
  if (load_parquet_library(problem) != nullptr) return true;
  std::cout << "skipped: Parquet files (" << problem << "; .ci/setup parquet)\n";
  return false;
}

Documents read(const SourceOptions& source) {
  Documents documents;
  for_each_document(source, [&](std::string_view document) { documents.emplace_back(document); });
  return documents;
}

std::string hint_of(const SourceOptions& source) {
  try {
    read(source);
  } catch (const InputError& error) {
    return error.hint();
  }
  return "";
}

}  // namespace

TEST_CASE("parquet: rows are those of the jsonl, whatever encoding and compression") {
  if (!is_built()) return;
  for (const char* name : {"plain_snappy", "dictionary_zstd", "plain_none", "delta_gzip"}) {
    INFO(name);
    const fs::path file = kFixtures / (std::string(name) + ".parquet");
    for (const char* field : {"text", "meta.body", "kind"}) {
      const Documents expected = read({.path = kFixtures / "rows.jsonl", .field = field});
      REQUIRE(expected.size() == 230);
      CHECK((read({.path = file, .field = field}) == expected));
    }
  }
}

TEST_CASE("parquet: WikiText's rows are the lines of its file") {
  if (!is_built()) return;
  CHECK(read({.path = kFixtures / "wikitext.parquet", .format = SourceFormat::kWikitext}) ==
        Documents{join_wikitext_rows(" \n = Robert = \n \n An actor . \n He acts . \n \n")});
}

TEST_CASE("parquet: a row without a text ends the reading or is left out") {
  if (!is_built()) return;
  const TestFolder folder;
  const SourceOptions source{.path = kFixtures / "nulls.parquet"};
  expect_input_error({"nulls.parquet: row 2", "\"text\" is null"}, [&] { read(source); });
  expect_input_error({"row 2", "not UTF-8 at byte 1"},
                     [&] { read({.path = source.path, .field = "bytes"}); });
  DataOptions options;
  options.train = {source};
  options.sequence_length = 9;
  options.on_bad_record = BadRecord::kSkip;
  const ByteTokenizer tokenizer;
  const Corpus corpus = Corpus::build(options, &tokenizer, 300, folder / "cache", 1);
  CHECK(corpus.num_tokens() == 4 + 1 + 4);
}

TEST_CASE("parquet: a column that is not there or holds no text is told with those that do") {
  if (!is_built()) return;
  const fs::path file = kFixtures / "plain_snappy.parquet";
  expect_input_error({"plain_snappy.parquet", "no column \"body\""},
                     [&] { read({.path = file, .field = "body"}); });
  CHECK(hint_of({.path = file, .field = "body"}).find("text, kind, meta.body") !=
        std::string::npos);
  for (const char* field : {"id", "tags.list.element"}) {
    expect_input_error({"does not hold a text in each row"},
                       [&] { read({.path = file, .field = field}); });
  }
}

TEST_CASE("parquet: damaged files are refused, never read as something else") {
  const TestFolder folder;
  const std::string whole = read_file(kFixtures / "plain_snappy.parquet");
  const auto refuse = [&](const std::string& bytes, const std::vector<std::string>& words) {
    const fs::path file = folder.write("a.parquet", bytes);
    expect_input_error(words, [&] { read({.path = file}); });
  };
  refuse("plain text\n", {"not a Parquet file"});
  refuse(whole.substr(0, whole.size() / 2), {"truncated Parquet file"});
  expect_input_error({"none.parquet"}, [&] { read({.path = folder / "none.parquet"}); });
  const fs::path other = folder.write("a.txt", whole);
  expect_input_error({"a.txt: a Parquet file"}, [&] { read({.path = other}); });
  if (!is_built()) return;
  int refused = 0;
  for (size_t at = 4; at < whole.size(); at += 61) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
    const fs::path file = folder.write("b.parquet", bytes);
    try {
      read({.path = file});  // a byte of another column, or of a text
    } catch (const InputError&) {
      ++refused;
    }
  }
  CHECK(refused > 5);
}

TEST_CASE("parquet: without the library a file is refused with two ways out") {
  std::string problem;
  if (load_parquet_library(problem) != nullptr) return;
  const SourceOptions source{.path = kFixtures / "plain_snappy.parquet"};
  expect_input_error({"a Parquet file", "built without Parquet"}, [&] { read(source); });
  CHECK(hint_of(source).find(".ci/setup parquet") != std::string::npos);
  CHECK(hint_of(source).find("pandas.read_parquet") != std::string::npos);
}

TEST_CASE("parquet: whole rows, nested as they are, without what is no text, number or flag") {
  if (!is_built()) return;
  const fs::path file = kFixtures / "records.parquet";
  const Json expected = parse_json(R"([
    {"question": "Why?", "answerKey": "B", "choices": {"text": ["a", "b"], "label": ["A", "B"]},
     "int": 1, "half": 0.5, "flag": true, "nothing": null, "word": "x", "large": "l",
     "pair": [1, 2], "nested": [{"n": 1}], "big": 9223372036854775808.0},
    {"question": "Who \u00e9\u4f60?", "answerKey": "A",
     "choices": {"text": ["c", ""], "label": ["A", "B"]}, "int": -2, "half": -0.001, "flag": false,
     "nothing": null, "word": "y", "large": null, "pair": [3, 4], "nested": [], "big": 1},
    {"question": "", "answerKey": null, "choices": {"text": [], "label": []}, "int": 3,
     "half": null, "flag": null, "nothing": null, "word": "x", "large": "m", "pair": [5, 6],
     "nested": null, "big": 0}])",
                                   "expected");
  Json rows = Json::array();
  std::vector<std::string> places;
  for_each_record(file, [&](const Json& row, const std::string& place) {
    rows.push_back(row);
    places.push_back(place);
    return true;
  });
  CHECK(rows == expected);
  CHECK(places.at(2) == file.string() + ": record 3");
  int seen = 0;
  for_each_record(file, [&](const Json&, const std::string&) { return ++seen < 2; });
  CHECK(seen == 2);
  // The same rows as the reader of one column and the jsonl have.
  Json lines = Json::array(), table = Json::array();
  const auto into = [](Json& list) {
    return [&list](const Json& record, const std::string&) {
      list.push_back(record);
      return true;
    };
  };
  for_each_record(kFixtures / "rows.jsonl", into(lines));
  for_each_record(kFixtures / "dictionary_zstd.parquet", into(table));
  CHECK(table == lines);
}

TEST_CASE("parquet: whole rows of a file that is damaged, or none") {
  if (!is_built()) return;
  const TestFolder temp;
  const auto refused = [&](std::string bytes, const std::vector<std::string>& words) {
    write_file(temp / "x.parquet", bytes);
    expect_input_error(words, [&] {
      for_each_record(temp / "x.parquet", [](const Json&, const std::string&) { return true; });
    });
  };
  std::string sound = read_file(kFixtures / "records.parquet");
  refused("[{}]", {"x.parquet: not a Parquet file"});
  refused(sound.substr(0, 2000), {"x.parquet: truncated Parquet file"});
  refused("PAR1 and so on PAR1", {"x.parquet"});
  for (size_t at = 4; at < 300; at += 7) sound[at] = static_cast<char>(sound[at] ^ 0x55);
  refused(sound, {"x.parquet: record", "damaged"});
}
