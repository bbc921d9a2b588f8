// Texts, tasks, options and results.
#include "littlebit/eval/tasks.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/config/option_tree.h"
#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/data/corpus.h"
#include "littlebit/eval/commands.h"
#include "littlebit/eval/results.h"
#include "support/paths.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using littlebit::test::expect_error;

namespace {

namespace fs = std::filesystem;

// A byte is an id; 256 in front.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override {
    std::vector<int32_t> ids;
    if (add_special_tokens) ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) text += static_cast<char>(id);
    return text;
  }
  int64_t vocab_size() const override { return 257; }
  std::string content_hash() const override { return "bytes"; }
  std::string description() const override { return "bytes"; }
};

std::string text_of(const std::vector<int32_t>& ids) {
  REQUIRE(!ids.empty());
  CHECK(ids[0] == 256);
  return ByteTokenizer().decode(std::span(ids).subspan(1));
}

}  // namespace

TEST_CASE("wikitext2 joins the rows of the test split and tokenises them as a whole") {
  const TempFolder temp;
  const ByteTokenizer tokenizer;
  const std::string raw = " \n = Title = \n \n Body . \n";
  const std::string joined = "\n\n = Title = \n\n\n\n\n Body . \n";
  expect_error(ExitCode::kInput, {"wikitext2/wiki.test.raw", "wiki.test.raw"},
               [&] { wikitext2_ids(temp.path(), tokenizer); });
  write_file(temp / "wiki.test.raw", raw);
  CHECK(text_of(wikitext2_ids(temp.path(), tokenizer)) == joined);
  create_folders(temp / "wikitext2");
  write_file(temp / "wikitext2" / "wiki.test.raw", "other\n");  // looked at first
  CHECK(text_of(wikitext2_ids(temp.path(), tokenizer)) == "other\n");
  CHECK(text_of(text_ids(temp / "wiki.test.raw", tokenizer)) == raw);
  write_file(temp / "bad.txt", "fine\xff");
  expect_error(ExitCode::kInput, {"bad.txt", "UTF-8"},
               [&] { text_ids(temp / "bad.txt", tokenizer); });
}

TEST_CASE("the shipped test split gives the text that the datasets library gives") {
  const fs::path data = fs::path(littlebit::test::kSourceDir) / "data";
  const std::vector<int32_t> ids = wikitext2_ids(data, ByteTokenizer());
  size_t characters = 0;
  for (size_t i = 1; i < ids.size(); ++i) characters += (ids[i] & 0xC0) != 0x80;
  CHECK(characters == 1294336);
}

TEST_CASE("task names are checked before anything is read") {
  EvalOptions options{.tasks = {"wikitxt2"}};
  try {
    check_tasks(options);
    FAIL("no error");
  } catch (const UsageError& error) {
    CHECK(std::string(error.what()).find("wikitxt2") != std::string::npos);
    CHECK(error.hint().find("'wikitext2'") != std::string::npos);
    CHECK(error.hint().find("known tasks: wikitext2") != std::string::npos);
  }
  options.tasks = {"zzz"};
  expect_error(ExitCode::kUsage, {"unknown task 'zzz'"}, [&] { check_tasks(options); });
  options.tasks = {"text"};
  expect_error(ExitCode::kUsage, {"needs a file"}, [&] { check_tasks(options); });
  options.tasks = {"wikitext2"};
  check_tasks(options);
}

TEST_CASE("each task once, one's own text last") {
  const TempFolder temp;
  write_file(temp / "wiki.test.raw", "wiki\n");
  write_file(temp / "mine.txt", "mine");
  const EvalOptions options{
      .tasks = {"wikitext2", "wikitext2"}, .text = temp / "mine.txt", .data_root = temp.path()};
  const std::vector<TaskText> texts = load_task_texts(options, ByteTokenizer());
  REQUIRE(texts.size() == 2);
  CHECK(texts[0].task == "wikitext2");
  CHECK(texts[1].task == "text");
  CHECK(text_of(texts[1].ids) == "mine");
}

TEST_CASE("chunk length: by default the model's maximum, at most 2048") {
  ModelSpec spec;
  spec.max_positions = 1024;
  EvalOptions options{.limit = 3, .batch_size = 5};
  CHECK(chunk_options(options, spec).sequence_length == 1024);
  CHECK(chunk_options(options, spec).limit == 3);
  CHECK(chunk_options(options, spec).batch_size == 5);
  spec.max_positions = 131072;
  CHECK(chunk_options(options, spec).sequence_length == 2048);
  options.sequence_length = 4096;
  CHECK(chunk_options(options, spec).sequence_length == 4096);
  spec.max_positions = 1024;
  CHECK(chunk_options(options, spec).sequence_length == 4096);  // rotary: with a warning
  spec.learned_positions = true;
  expect_error(ExitCode::kUsage, {"4,096", "1,024"}, [&] { chunk_options(options, spec); });
  options.sequence_length = 1;
  expect_error(ExitCode::kUsage, {"chunk of 1"}, [&] { chunk_options(options, spec); });
}

TEST_CASE("a tokenizer that goes beyond the model") {
  ModelSpec spec;
  spec.vocab_size = 257;
  check_vocabulary(ByteTokenizer(), spec);
  spec.vocab_size = 256;
  expect_error(ExitCode::kUsage, {"257", "256"}, [&] { check_vocabulary(ByteTokenizer(), spec); });
}

TEST_CASE("results.json and the table") {
  Results results("models/tiny");
  results.add("wikitext2", {.protocol = "concatenated_chunks@2048",
                            .perplexity = 51.220412,
                            .nll = 3.936137,
                            .tokens = 393728,
                            .chunks = 769,
                            .seconds = 39.2});
  const Json expected = {{"model", "models/tiny"},
                         {"tasks",
                          {{"wikitext2",
                            {{"protocol", "concatenated_chunks@2048"},
                             {"perplexity", 51.220412},
                             {"nll", 3.936137},
                             {"tokens", 393728},
                             {"chunks", 769},
                             {"seconds", 39.2}}}}}};
  CHECK(results.to_json() == expected);
  const std::string table = results.table();
  for (const char* part : {"wikitext2", "concatenated_chunks@2048", "51.2204", "393,728"}) {
    CHECK(table.find(part) != std::string::npos);
  }
}

TEST_CASE("options by key, values quoted where they are text") {
  OptionTree tree;
  EvalOptions options;
  EvalRunOptions run;
  ModelOptions model;
  tree.add("eval", "", options);
  tree.add("eval", "", run);
  tree.add("model", "", model);
  tree.set(quoted_word("model.path", "a: b # [\"c\"]"));
  tree.set(quoted_word("eval.tasks", std::vector<std::string>{"x", "y, z"}));
  tree.set("eval.limit=7");
  tree.set("eval.dtype=bf16");
  tree.finish();
  CHECK(model.path == "a: b # [\"c\"]");
  CHECK(options.tasks == std::vector<std::string>{"x", "y, z"});
  CHECK(options.limit == 7);
  CHECK(run.dtype == EvalDtype::kBf16);
  tree.set("eval.device=tpu");
  tree.set("eval.sequence_length=-4");
  expect_error(ExitCode::kUsage, {"eval.device", "eval.sequence_length"}, [&] { tree.finish(); });
}
