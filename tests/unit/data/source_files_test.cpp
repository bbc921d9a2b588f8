// What people give as training data: compressed files, folders, globs, nested fields, records that
// are not all good, and what stands between documents.
#include "littlebit/data/source_files.h"

#include "littlebit/data/corpus.h"
#include "littlebit/data/documents.h"
#include "littlebit/data/token_file.h"
#include "unit/data/byte_tokenizer.h"
#include "unit/data/gzip.h"
#include "unit/data/zstd.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

using Documents = std::vector<std::string>;
using Ids = std::vector<int32_t>;
namespace fs = std::filesystem;

Documents read(const SourceOptions& source) {
  Documents documents;
  for_each_document(source, [&](std::string_view document) { documents.emplace_back(document); });
  return documents;
}

void refused(const SourceOptions& source, const std::vector<std::string>& words) {
  expect_input_error(words, [&] { read(source); });
}

// Puts nothing around a text, as GPT-2's and Qwen's tokenizers; 256 ends one.
class BareTokenizer : public ByteTokenizer {
 public:
  BareTokenizer() : ByteTokenizer("bare") {}
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    return ByteTokenizer::encode(text, false);
  }
  std::optional<int32_t> eos_id() const override { return kBos; }
};

struct Folder {
  TestFolder temp;
  fs::path write(const std::string& name, const std::string& bytes) const {
    fs::create_directories((temp / name).parent_path());
    return temp.write(name, bytes);
  }
  std::vector<std::string> files(const std::string& path,
                                 SourceFormat format = SourceFormat::kAuto) const {
    std::vector<std::string> names;
    for (const fs::path& file : source_files({.path = temp / path, .format = format})) {
      names.push_back(fs::relative(file, temp.path()).string());
    }
    return names;
  }
};

std::string ids_text(const Corpus& corpus) {
  std::string text;
  Ids block(static_cast<size_t>(corpus.sequence_length()));
  for (int64_t i = 0; i < corpus.num_blocks(); ++i) {
    corpus.copy_block(i, block);
    text += BareTokenizer().decode(block) + "|";
  }
  return text;
}

}  // namespace

TEST_CASE("zstd: files are read as the text in them") {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "line " + std::to_string(i * 7919 % 5003) + "\n";
  CHECK((read({.path = folder.write("a.txt.zst", zstd(text))}) == Documents{text}));
  const std::string skippable("\x5A\x2A\x4D\x18\x03\0\0\0abc", 11);
  const std::string frames =
      skippable + zstd("one\r\ntw") + zstd("") + zstd("o\nthree") + skippable;
  CHECK(read({.path = folder.write("b.zst", frames), .format = SourceFormat::kLines}) ==
        Documents{"one", "two", "three"});
  CHECK(read({.path = folder.write("c.jsonl.zst", zstd("{\"text\": \"x\"}\n"))}) == Documents{"x"});
}

TEST_CASE("zstd: truncated, damaged and misnamed files are refused") {
  const Folder folder;
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "line " + std::to_string(i * 7919 % 5003) + "\n";
  const std::string whole = zstd(text);
  for (const SourceFormat format : {SourceFormat::kText, SourceFormat::kLines}) {
    const auto refuse = [&](const std::string& name, const std::string& bytes,
                            const std::vector<std::string>& words) {
      refused({.path = folder.write(name, bytes), .format = format}, words);
    };
    for (const size_t length : {size_t(10), whole.size() / 2, whole.size() - 1}) {
      refuse("a.zst", whole.substr(0, length), {"truncated", "byte " + std::to_string(length)});
    }
    std::string flipped = whole;
    flipped[whole.size() - 2] ^= 1;  // of the checksum
    refuse("a.zst", flipped, {"damaged", "checksum"});
    refuse("a.zst", whole + "tail", {"damaged"});
    refuse("a.zst", text, {"not zstd"});
    refuse("a.txt", whole, {"compressed with zstd", "does not end in .zst"});
    refuse("a.gz", gzip(whole), {"compressed twice"});
    refuse("a.zst", zstd(gzip(text)), {"compressed twice"});
    refuse("a.zst", zstd("PK\x03\x04"), {"zip"});
  }
}

TEST_CASE("fields: a key with dots in it, else keys of objects in each other") {
  const Folder folder;
  const auto texts = [&](const std::string& line, const std::string& field) {
    return read({.path = folder.write("a.jsonl", line), .field = field});
  };
  CHECK(texts("{\"meta\": {\"text\": \"in\"}}", "meta.text") == Documents{"in"});
  CHECK(texts("{\"meta.text\": \"flat\", \"meta\": {\"text\": \"in\"}}", "meta.text") ==
        Documents{"flat"});
  CHECK(texts("{\"a\": {\"b.c\": \"x\"}}", "a.b.c") == Documents{"x"});
  CHECK(texts("{\"a.b\": {\"c\": \"x\"}, \"a\": {\"b\": 1}}", "a.b.c") == Documents{"x"});
  const auto refuse = [&](const std::string& line, const std::vector<std::string>& words) {
    refused({.path = folder.write("a.jsonl", line), .field = "meta.text"}, words);
  };
  refuse("{\"meta\": {\"txt\": \"a\"}}", {"a.jsonl:1", "no field \"meta.text\""});
  refuse("{\"meta\": \"text\"}", {"no field \"meta.text\""});
  refuse("{\"meta\": {\"text\": 7}}", {"a.jsonl:1", "\"meta.text\"", "string"});
  try {
    texts("{\"id\": 1, \"meta\": {\"body\": \"a\"}, \"title\": \"b\"}", "text");
    FAIL("no error was thrown");
  } catch (const InputError& error) {
    CHECK(std::string(error.hint()).find("text fields here: meta.body, title") !=
          std::string::npos);
  }
}

TEST_CASE("source files: a folder gives its texts, sorted") {
  const Folder folder;
  for (const char* name :
       {"d/b.jsonl", "d/a.txt", "d/c.json.gz", "d/sub/z.ndjson.zst", "d/p.parquet", "d/README.md",
        "d/.git/x.txt", "d/.part.txt", "d/x.gz", "d/ids.bin", "d/more.safetensors"}) {
    folder.write(name, "x");
  }
  CHECK(folder.files("d") == std::vector<std::string>{"d/a.txt", "d/b.jsonl", "d/c.json.gz",
                                                      "d/p.parquet", "d/sub/z.ndjson.zst"});
  CHECK(folder.files("d", SourceFormat::kTokens) ==
        std::vector<std::string>{"d/ids.bin", "d/more.safetensors"});
  CHECK(folder.files("d", SourceFormat::kParquet) == std::vector<std::string>{"d/p.parquet"});
  CHECK(folder.files("d/b.jsonl") == std::vector<std::string>{"d/b.jsonl"});
  folder.write("other/README.md", "x");
  expect_input_error({"other", "no file in this folder", "1 with other names"},
                     [&] { folder.files("other"); });
}

TEST_CASE("source files: a glob gives what fits, sorted; a file of that very name goes first") {
  const Folder folder;
  for (const char* name : {"d/10.txt", "d/2.txt", "d/2.jsonl", "d/e/3.txt"})
    folder.write(name, "x");
  fs::create_directories(folder.temp / "d/dir.txt");
  CHECK(folder.files("d/*.txt") == std::vector<std::string>{"d/10.txt", "d/2.txt"});
  CHECK(folder.files("d/[12].*") == std::vector<std::string>{"d/2.jsonl", "d/2.txt"});
  CHECK(folder.files("d/*/*.txt") == std::vector<std::string>{"d/e/3.txt"});
  expect_input_error({"no file matches this glob"}, [&] { folder.files("d/*.csv"); });
  CHECK(source_exists({.path = folder.temp / "d/?.txt"}));
  CHECK_FALSE(source_exists({.path = folder.temp / "d/?.csv"}));
  folder.write("d/[2].txt", "x");
  CHECK(folder.files("d/[2].txt") == std::vector<std::string>{"d/[2].txt"});
}

TEST_CASE("source files: addresses and names of the Hub get their own words") {
  expect_input_error({"https://x.org/a.jsonl is an address"},
                     [] { source_files({.path = "https://x.org/a.jsonl"}); });
  try {
    source_files({.path = "allenai/c4"});
    FAIL("no error was thrown");
  } catch (const InputError& error) {
    CHECK(std::string(error.hint()).find("Hub") != std::string::npos);
  }
  CHECK(source_files({.path = "nowhere.txt"}) == std::vector<fs::path>{"nowhere.txt"});
}

TEST_CASE("several files of one source are one stream") {
  const Folder folder;
  folder.write("d/a.txt", "abc");
  folder.write("d/b.txt", "de");
  folder.write("d/c.txt", "fghij");
  const BareTokenizer tokenizer;
  DataOptions options;
  options.train = {{.path = folder.temp / "d"}};
  options.sequence_length = 4;
  options.separator = "none";
  const auto text = [&] {
    return ids_text(Corpus::build(options, &tokenizer, 300, folder.temp / "cache", 2));
  };
  CHECK(text() == "abcd|efgh|");
  options.train[0].weight = 2.8;  // the stream twice, then its first eight tokens
  CHECK(text() == "abcd|efgh|abcd|efgh|abcd|efgh|");
  options.train[0].path = folder.temp / "d/[ac].txt";
  options.train[0].weight = 1;
  CHECK(text() == "abcf|ghij|");
  options.blocking = Blocking::kReference;
  CHECK(text() == "abcf|ghij|");
  options.train[0].weight = 0.5;  // one of two documents
  options.sequence_length = 3;
  CHECK(text() == "abc|");
}

TEST_CASE("several files are another corpus than several sources of the same files") {
  const Folder folder;
  folder.write("d/a.txt", "abcdef");
  folder.write("d/b.txt", "ghijkl");
  const BareTokenizer tokenizer;
  DataOptions options;
  options.sequence_length = 4;
  const auto build = [&] {
    return Corpus::build(options, &tokenizer, 300, folder.temp / "cache", 1);
  };
  options.train = {{.path = folder.temp / "d/*"}};
  const Corpus together = build();
  options.train = {{.path = folder.temp / "d/a.txt"}, {.path = folder.temp / "d/b.txt"}};
  const Corpus apart = build();
  CHECK(together.num_blocks() == 3);
  CHECK(apart.num_blocks() == 2);
  CHECK(together.content_hash() != apart.content_hash());
}

TEST_CASE("separator: the end-of-text token where a tokenizer marks no document") {
  const Folder folder;
  folder.write("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"c\"}\n{\"text\": \"def\"}\n");
  const BareTokenizer bare;
  const ByteTokenizer marking;
  DataOptions options;
  options.train = {{.path = folder.temp / "a.jsonl"}};
  options.sequence_length = 3;
  const auto text = [&](const Tokenizer& tokenizer) {
    return ids_text(Corpus::build(options, &tokenizer, 300, folder.temp / "cache", 1));
  };
  CHECK(text(bare) == "ab^|c^d|ef^|");
  CHECK(text(marking) == "^ab|^c^|def|");
  options.separator = "none";
  CHECK(text(bare) == "abc|def|");
  options.separator = "--";
  CHECK(text(bare) == "ab-|-c-|-de|f--|");
  options.separator = "auto";
  options.blocking = Blocking::kReference;
  CHECK(text(bare) == "abc|def|");
  options.separator = "";
  expect_error(ExitCode::kUsage, {"data.separator"}, [&] { text(bare); });
}

TEST_CASE("bad records: the first ends the reading, or all are left out") {
  const Folder folder;
  const fs::path file = folder.write("a.jsonl",
                                     "{\"txt\": 1}\n{\"text\": \"ab\"}\nplain\n{\"text\": null}\n"
                                     "{\"text\": \"\xFF\"}\n\n{\"text\": \"cd\"}\n");
  const BareTokenizer tokenizer;
  DataOptions options;
  options.train = {{.path = file}};
  options.sequence_length = 2;
  options.separator = "none";
  const auto text = [&] {
    return ids_text(Corpus::build(options, &tokenizer, 300, folder.temp / "cache", 1));
  };
  expect_input_error({"a.jsonl:1", "no field"}, text);
  options.on_bad_record = BadRecord::kSkip;
  CHECK(text() == "ab|cd|");
  folder.write("a.jsonl", "{\"txt\": 1}\n[]\n");
  expect_input_error({"none of its 2 records can be read", "a.jsonl:1", "no field"}, text);
  folder.write("a.jsonl", "[\n{\"text\": \"a\"}\n]\n");
  expect_input_error({"JSON array"}, text);
  folder.write("a.txt",
               "one\nb\xFF"
               "d\nlast\n");
  options.train = {{.path = folder.temp / "a.txt", .format = SourceFormat::kLines}};
  CHECK(text() == "on|el|as|");
}
