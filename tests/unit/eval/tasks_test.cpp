// Texts, tasks, options and results.
#include "littlebit/eval/tasks.h"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "byte_task_input.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/eval/model.h"
#include "littlebit/eval/perplexity_texts.h"
#include "littlebit/eval/results.h"
#include "support/paths.h"
#include "support/tiny_model.h"
#include "temp_folder.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

namespace fs = std::filesystem;

std::string text_of(const std::vector<int32_t>& ids) {
  REQUIRE(!ids.empty());
  CHECK(ids[0] == 256);
  return ByteTokenizer().decode(std::span(ids).subspan(1));
}

}  // namespace

TEST_CASE("wikitext2 joins the rows of the test split and tokenises them as a whole") {
  const TempFolder temp;
  const ByteTaskInput texts(temp.path(), temp / "wiki.test.raw");
  const auto wikitext2 = [&] { return wikitext2_text(texts, 0).ids; };
  const std::string raw = " \n = Title = \n \n Body . \n";
  const std::string joined = "\n\n = Title = \n\n\n\n\n Body . \n";
  expect_error(ExitCode::kInput, {"wiki.test.raw", "wikitext2"}, wikitext2);
  write_file(temp / "wiki.test.raw", raw);
  CHECK(text_of(wikitext2()) == joined);
  create_folders(temp / "wikitext2");
  write_file(temp / "wikitext2" / "wiki.test.raw", "other\n");  // looked at first
  CHECK(text_of(wikitext2()) == "other\n");
  CHECK(text_of(own_text(texts, 0).ids) == raw);
  write_file(temp / "bad.txt", "fine\xff");
  expect_error(ExitCode::kInput, {"bad.txt", "UTF-8"},
               [&] { own_text(ByteTaskInput(temp.path(), temp / "bad.txt"), 0); });
}

TEST_CASE("the shipped test split gives the text that the datasets library gives") {
  const fs::path data = fs::path(littlebit::test::kSourceDir) / "data";
  const std::vector<int32_t> ids = wikitext2_text(ByteTaskInput(data), 0).ids;
  size_t characters = 0;
  for (size_t i = 1; i < ids.size(); ++i) characters += (ids[i] & 0xC0) != 0x80;
  CHECK(characters == 1294336);
}

TEST_CASE("task names are checked before anything is read") {
  EvalOptions options{.tasks = {"wikitxt2"}};
  try {
    read_tasks(options);
    FAIL("no error");
  } catch (const UsageError& error) {
    CHECK(std::string(error.what()).find("wikitxt2") != std::string::npos);
    CHECK(error.hint().find("'wikitext2'") != std::string::npos);
    CHECK(error.hint().find("known tasks: wikitext2") != std::string::npos);
  }
  options.tasks = {"zzz"};
  expect_error(ExitCode::kUsage, {"unknown task 'zzz'"}, [&] { read_tasks(options); });
  options.tasks = {"text"};
  expect_error(ExitCode::kUsage, {"needs a file"}, [&] { read_tasks(options); });
  options.tasks = {"wikitext2"};
  read_tasks(options);
}

TEST_CASE("a task file is read once: what happens to it afterwards does not matter") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.vocabulary = 257});
  write_file(temp / "mine.yaml",
             "source: {file: mine.jsonl}\n"
             "prompt: {context: \"{sum} =\", choices: \"{results}\"}\n"
             "answer: {gold: \"{answer}\"}\n");
  write_file(temp / "mine.jsonl", R"({"sum": "1 + 1", "results": ["2", "3"], "answer": 0})"
                                  "\n");
  const EvalModel model(temp.path(), at::kFloat, at::kCPU);
  const std::string path = (temp / "mine.yaml").string();
  const EvalOptions options{.tasks = {path, path}, .data_root = temp.path()};
  const std::vector<NamedTask> named = read_tasks(options);
  REQUIRE(named.size() == 1);
  CHECK(named[0].choices.value().name == "mine");
  write_file(temp / "mine.yaml", "no task any more");
  const auto tasks = prepare_tasks(named, {options, ByteTokenizer(), model.decoder().spec()});
  CHECK(tasks.at(0)->run(model.decoder(), {}).task == "mine");
}

TEST_CASE("each task once, one's own text last") {
  const TempFolder temp;
  test::write_tiny_llama(temp.path(), {.vocabulary = 257});
  write_file(temp / "wiki.test.raw", "wiki\nwiki\n");
  write_file(temp / "mine.txt", "mine, mine");
  const EvalModel model(temp.path(), at::kFloat, at::kCPU);
  EvalOptions options{.tasks = {"wikitext2", "wikitext2"},
                      .text = temp / "mine.txt",
                      .data_root = temp.path(),
                      .sequence_length = 4};
  const auto run = [&] {
    std::vector<std::string> names;
    for (const auto& task :
         prepare_tasks(read_tasks(options), {options, ByteTokenizer(), model.decoder().spec()})) {
      const TaskResult result = task->run(model.decoder(), {});
      CHECK(result.protocol == "concatenated_chunks@4");
      names.push_back(result.task + " " + std::to_string(result.count("chunks")));
    }
    return names;
  };
  CHECK(run() == std::vector<std::string>{"wikitext2 3", "text 2"});  // a byte or 256 is a token
  options.tasks = {"text", "wikitext2"};
  options.limit = 1;
  CHECK(run() == std::vector<std::string>{"text 1", "wikitext2 1"});
  options = {};
  CHECK(run().empty());
  CHECK_FALSE(any_tasks(options));
}

TEST_CASE("sequence length: by default the model's maximum, at most 2048") {
  ModelSpec spec;
  spec.max_positions = 1024;
  EvalOptions options;
  CHECK(sequence_length(options, spec) == 1024);
  spec.max_positions = 131072;
  CHECK(sequence_length(options, spec) == 2048);
  options.sequence_length = 4096;
  CHECK(sequence_length(options, spec) == 4096);
  spec.max_positions = 1024;
  CHECK(sequence_length(options, spec) == 4096);  // rotary: with a warning
  spec.learned_positions = true;
  expect_error(ExitCode::kUsage, {"4,096", "1,024"}, [&] { sequence_length(options, spec); });
  options.sequence_length = 1;
  expect_error(ExitCode::kUsage, {"sequence of 1"}, [&] { sequence_length(options, spec); });
}

TEST_CASE("a tokenizer that goes beyond the model") {
  check_vocabulary(ByteTokenizer(), 257);
  expect_error(ExitCode::kUsage, {"257", "256"}, [&] { check_vocabulary(ByteTokenizer(), 256); });
}

TEST_CASE("results.json and the table") {
  Results results("models/tiny");
  results.add({.task = "wikitext2",
               .protocol = "concatenated_chunks@2048",
               .metrics = {{"perplexity", 51.220412}, {"nll", 3.936137}},
               .counts = {{"tokens", 393728}, {"chunks", 769}},
               .seconds = 39.2});
  results.add({.task = "boolq",
               .protocol = "a|b",
               .metrics = {{"acc", 0.625}, {"acc_stderr", 0.012}},
               .counts = {{"documents", 1024}},
               .seconds = 2.5});
  const Json expected = {{"model", "models/tiny"},
                         {"tasks",
                          {{"wikitext2",
                            {{"protocol", "concatenated_chunks@2048"},
                             {"perplexity", 51.220412},
                             {"nll", 3.936137},
                             {"tokens", 393728},
                             {"chunks", 769},
                             {"seconds", 39.2}}},
                           {"boolq",
                            {{"protocol", "a|b"},
                             {"acc", 0.625},
                             {"acc_stderr", 0.012},
                             {"documents", 1024},
                             {"seconds", 2.5}}}}}};
  CHECK(results.to_json() == expected);
  CHECK(
      results.table() ==
      R"(| task      | protocol                 | metric     |   value | stderr |          scored |  time |
| --------- | ------------------------ | ---------- | ------: | -----: | --------------: | ----: |
| wikitext2 | concatenated_chunks@2048 | perplexity | 51.2204 |        |  393,728 tokens |  39 s |
|           |                          | nll        |  3.9361 |        |                 |       |
| boolq     | a\|b                     | acc        |  0.6250 | 0.0120 | 1,024 documents | 2.5 s |
)");
}
