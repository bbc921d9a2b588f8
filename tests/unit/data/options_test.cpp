// Section `data` of the configuration: key names, defaults, short forms and ranges.
#include "littlebit/data/options.h"

#include "littlebit/config/option_tree.h"
#include "littlebit/data/documents.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

DataOptions parse(const std::vector<std::string>& words) {
  DataOptions options;
  OptionTree tree;
  tree.add("data", "Training data", options);
  for (const std::string& word : words) tree.set(word);
  tree.finish();
  return options;
}

}  // namespace

TEST_CASE("data options: defaults") {
  const DataOptions options = parse({});
  CHECK(options.train.empty());
  CHECK(options.sequence_length == 2048);
  CHECK(options.blocking == Blocking::kContiguous);
  CHECK(options.shuffle);
  CHECK(options.cache_dir.empty());
}

TEST_CASE("data options: every key is taken") {
  const DataOptions options =
      parse({"data.train=[{path: a.jsonl.gz, format: jsonl, field: body, weight: 0.5}, "
             "{path: b, format: wikitext}, {path: c, format: tokens}, {path: d, format: lines}]",
             "data.sequence_length=128", "data.blocking=reference", "data.shuffle=false",
             "data.cache_dir=/tmp/x"});
  REQUIRE(options.train.size() == 4);
  CHECK(options.train[0].path == "a.jsonl.gz");
  CHECK(options.train[0].format == SourceFormat::kJsonl);
  CHECK(options.train[0].field == "body");
  CHECK(options.train[0].weight == 0.5);
  CHECK(options.train[1].format == SourceFormat::kWikitext);
  CHECK(options.train[1].field == "text");
  CHECK(options.train[1].weight == 1);
  CHECK(options.train[2].format == SourceFormat::kTokens);
  CHECK(options.train[3].format == SourceFormat::kLines);
  CHECK(options.sequence_length == 128);
  CHECK(options.blocking == Blocking::kReference);
  CHECK_FALSE(options.shuffle);
  CHECK(options.cache_dir == "/tmp/x");
}

TEST_CASE("data options: a bare path is a source whose format its name tells") {
  const DataOptions options = parse({"data.train=file.txt"});
  REQUIRE(options.train.size() == 1);
  CHECK(options.train[0].path == "file.txt");
  CHECK(options.train[0].format == SourceFormat::kAuto);
  const auto format_of = [](const char* name) { return settled_format({.path = name}); };
  for (const char* name : {"file.txt", "file", "file.gz", "jsonl", "file.jsonl.txt"}) {
    CHECK(format_of(name) == SourceFormat::kText);
  }
  for (const char* name : {"a.jsonl", "a.json", "a.jsonl.gz", "a/b.json.gz", "a.ndjson"}) {
    CHECK(format_of(name) == SourceFormat::kJsonl);
  }
  CHECK(settled_format({.path = "a.jsonl", .format = SourceFormat::kText}) == SourceFormat::kText);
}

TEST_CASE("data options: values out of range are usage errors") {
  for (const char* word :
       {"data.sequence_length=1", "data.sequence_length=1048577", "data.blocking=random",
        "data.train=[{path: a, weight: 0}]", "data.train=[{path: a, weight: -1}]",
        "data.train=[{path: a, weight: 1001}]", "data.train=[{path: a, weight: .nan}]",
        "data.train=[{path: a, format: json}]", "data.train=[{path: a, fields: x}]"}) {
    INFO(word);
    expect_error(ExitCode::kUsage, {"data."}, [&] { parse({word}); });
  }
}
