// The texts of the perplexity protocols: the windows that Python draws, joins, files, wrong input.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "byte_task_input.h"
#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/data/parquet.h"
#include "littlebit/eval/perplexity_texts.h"
#include "littlebit/tokenizer/folder.h"
#include "sha256.h"
#include "support/paths.h"
#include "unit/io/expect_error.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

namespace fs = std::filesystem;

const fs::path kSource = kSourceDir;

std::string hash_of(const std::vector<int32_t>& ids) {
  return sha256({reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(int32_t)});
}

void check_windows(const SampledWindows& windows, const Json& places, const std::string& sha256) {
  REQUIRE(windows.places.size() == places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    INFO("window " << i);
    CHECK(places[i].get<std::pair<int64_t, int64_t>>() == windows.places[i]);
  }
  CHECK(hash_of(windows.ids) == sha256);
}

std::string text_of(const TaskText& text) {
  REQUIRE(!text.ids.empty());
  CHECK(text.ids[0] == 256);
  return ByteTokenizer().decode(std::span(text.ids).subspan(1));
}

}  // namespace

TEST_CASE("windows are those that Python draws") {
  const fs::path folder = kSource / "tests" / "golden" / "c4";
  const auto tokenizer = load_tokenizer(kSource / "data" / "wiki-llama-5m");
  const std::vector<std::string> documents = read_texts(folder / "documents.jsonl", "text");
  for (const Json& want : read_json_file(folder / "windows.json")) {
    check_windows(sample_windows(documents, *tokenizer, want.at("length").get<int64_t>(), 256),
                  want.at("places"), want.at("sha256").get<std::string>());
  }
}

TEST_CASE("windows of a thousand documents by published tokenizers") {
  const char* fixtures = std::getenv("LITTLEBIT_FIXTURES");
  const fs::path root = fixtures ? fixtures : "";
  const fs::path data = root.parent_path() / "data" / "c4" / "c4_train_first1000.jsonl";
  if (!fixtures || !fs::exists(root / "c4") || !fs::exists(data)) {
    std::cout << "skipped: windows of C4 by published tokenizers (LITTLEBIT_FIXTURES names no "
                 "folder with c4 beside data/c4)"
              << std::endl;
    return;
  }
  const std::vector<std::string> documents = read_texts(data, "text");
  for (const char* name : {"gpt2", "llama2", "qwen2"}) {
    const auto tokenizer = load_tokenizer(root / "tokenizers" / name);
    const Json golden = read_json_file(root / "c4" / (std::string(name) + ".json"));
    for (const Json& want : golden.at("windows")) {
      const SampledWindows windows =
          sample_windows(documents, *tokenizer, want.at("seqlen").get<int64_t>(), 256);
      check_windows(windows, want.at("documents_and_starts"),
                    want.at("sha256_of_ids_as_uint32_le").get<std::string>());
    }
  }
}

TEST_CASE("no document long enough ends the drawing") {
  const std::vector<std::string> documents = {"1234567", "123", "1234567"};  // and 256 in front
  const SampledWindows windows = sample_windows(documents, ByteTokenizer(), 7, 5);
  for (const auto& [document, start] : windows.places) {
    CHECK(document != 1);
    CHECK(start == 0);  // randint(0, 0)
  }
  expect_error(ExitCode::kInput, {"none of the 3 documents", "more than 8 tokens"},
               [&] { sample_windows(documents, ByteTokenizer(), 8, 5); });
}

TEST_CASE("c4: the file, the windows of a limit, the first documents") {
  const TempFolder temp;
  ByteTaskInput input(temp.path());
  expect_error(ExitCode::kInput, {"task c4:", "c4-validation.*.json.gz", (temp / "c4").string()},
               [&] { c4_text(input, 4); });
  write_file(temp / "other.jsonl", "{\"text\": \"abcdefgh\"}\n{\"text\": \"ij\"}\n");
  CHECK(c4_text(input, 4).file == temp / "other.jsonl");
  CHECK(c4_text(input, 4).ids.size() == 256 * 4);
  input.options.limit = 3;
  CHECK(c4_text(input, 4).ids.size() == 3 * 4);
  expect_error(ExitCode::kInput, {"other.jsonl", "none of the 2"}, [&] { c4_text(input, 9); });
  CHECK(text_of(c4_new_text(input, 4)) == "abcdefgh ij");
  for (const char* wrong : {"{\"txet\": \"ij\"}", "{\"text\": null}"}) {
    write_file(temp / "other.jsonl", std::string("{\"text\": \"abcdefgh\"}\n") + wrong + "\n");
    try {
      c4_text(input, 4);
      FAIL("a record without text was accepted");
    } catch (const InputError& error) {  // the file is named once
      CHECK(error.what() ==
            (temp / "other.jsonl").string() + ":2: the record has no text \"text\"");
      CHECK_THAT(error.hint(), !Catch::Contains("data.train"));
    }
  }
  create_folders(temp / "c4");
  std::string many;
  for (int i = 0; i < 1101; ++i) many += "{\"text\": \"x\"}\n";
  write_file(temp / "c4" / "c4-validation.00000-of-00008.json", many);
  write_file(temp / "c4" / "a.jsonl", "{\"text\": \"not this\"}\n");
  const TaskText text = c4_new_text(input, 512);
  CHECK(text.file.filename() == "c4-validation.00000-of-00008.json");
  CHECK(text.ids.size() == 1 + 2 * 1100 - 1);          // 1100 of them and the spaces between
  CHECK(c4_new_text(input, 4).ids.size() == 4 * 256);  // no more than the protocol takes
}

TEST_CASE("ptb: sentences of the validation split, of the test split") {
  const TempFolder temp;
  const ByteTaskInput input(temp.path());
  expect_error(ExitCode::kInput, {"task ptb_new:", "ptb.test.txt"},
               [&] { ptb_new_text(input, 4); });
  write_file(temp / "ptb.valid.txt", " a b <unk> \n c N \n");
  create_folders(temp / "ptb");
  write_file(temp / "ptb" / "ptb.test.txt", " a b <unk> \n c N \n");
  CHECK(text_of(ptb_text(input, 4)) == "a b <unk>\n\nc N");
  CHECK(text_of(ptb_new_text(input, 4)) == "a b <unk> c N");
  write_file(temp / "ptb" / "ptb.valid.jsonl", "{\"sentence\": \"s\"}\n{\"sentence\": \"t\"}\n");
  CHECK(text_of(ptb_text(input, 4)) == "s\n\nt");
}

TEST_CASE("a text of one's own: a document, or the records of a jsonl file") {
  const TempFolder temp;
  write_file(temp / "mine.jsonl",
             "{\"text\": \"one\", \"body\": \"eins\"}\n"
             "{\"text\": \"two\", \"body\": \"zwei\"}\n");
  ByteTaskInput input(temp.path(), temp / "mine.jsonl");
  CHECK(text_of(own_text(input, 4)) == "one\n\ntwo");
  input.options.text_field = "body";
  CHECK(text_of(own_text(input, 4)) == "eins\n\nzwei");
  input.options.text_field = "title";
  try {
    own_text(input, 4);
    FAIL("no error");
  } catch (const InputError& error) {
    CHECK(std::string(error.what()).find("mine.jsonl:1") != std::string::npos);
    CHECK(error.hint().find("eval.text_field") != std::string::npos);
  }
}

TEST_CASE("Parquet is refused with the line that converts it") {
  const TempFolder temp;
  write_file(temp / "mine.txt", "PAR1\x15\x04");
  const auto refused = [&](const auto& load) {
    try {
      load();
      FAIL("no error");
    } catch (const InputError& error) {
      CHECK(std::string(error.what()).find("Parquet") != std::string::npos);
      return error.hint();
    }
    return std::string();
  };
  CHECK(refused([&] { own_text(ByteTaskInput(temp.path(), temp / "mine.txt"), 4); })
            .find("pandas.read_parquet('" + (temp / "mine.txt").string() + "').to_json('" +
                  (temp / "mine.jsonl").string() + "'") != std::string::npos);
  create_folders(temp / "wikitext2");
  write_file(temp / "wikitext2" / "other.parquet", "PAR1");
  CHECK(refused([&] { wikitext2_text(ByteTaskInput(temp.path()), 4); }).find("other.jsonl") !=
        std::string::npos);
}

TEST_CASE("texts as JSON and Parquet give what lines and jsonl give") {
  const TempFolder temp;
  const ByteTaskInput input(temp.path());
  for (const char* folder : {"ptb", "c4", "wikitext2"}) create_folders(temp / folder);
  write_file(temp / "ptb/ptb.test.json", "[{\"sentence\": \"s\"}, {\"sentence\": \"t\"}]");
  CHECK(text_of(ptb_new_text(input, 4)) == "s t");
  write_file(temp / "ptb/ptb.valid.parquet", "PAR1 and so on");
  expect_error(ExitCode::kInput, {"ptb.valid.parquet", "Parquet"}, [&] { ptb_text(input, 4); });

  std::string problem;
  if (load_parquet_library(problem) == nullptr) return;
  const fs::path fixtures = fs::path(kSourceDir) / "tests/golden/parquet";
  fs::copy(fixtures / "wikitext.parquet", temp / "wikitext2/test-00000-of-00001.parquet");
  fs::copy(fixtures / "dictionary_zstd.parquet", temp / "c4/validation.parquet");
  const std::string parquet = text_of(wikitext2_text(input, 4));
  const std::vector<int32_t> windows = c4_text(input, 8).ids;
  write_file(temp / "wikitext2/wiki.test.raw",
             " \n = Robert = \n \n An actor . \n He acts . \n \n");
  CHECK(text_of(wikitext2_text(input, 4)) == parquet);
  fs::copy(fixtures / "rows.jsonl", temp / "c4/rows.jsonl");
  CHECK(c4_text(input, 8).file == temp / "c4/rows.jsonl");
  CHECK(c4_text(input, 8).ids == windows);
}
