// Blocks out of sources: both blockings against a plain calculation in the test, weights, rows,
// checks of ids, and what the content hash follows.
#include "littlebit/data/corpus.h"

#include <cstring>

#include "littlebit/data/token_file.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"
#include "unit/data/byte_tokenizer.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

using Ids = std::vector<int32_t>;

constexpr int64_t kVocab = 300;

Ids block(const Corpus& corpus, int64_t index) {
  Ids ids(size_t(corpus.sequence_length()), -1);
  corpus.copy_block(index, ids);
  return ids;
}

std::vector<Ids> blocks(const Corpus& corpus) {
  std::vector<Ids> all;
  for (int64_t i = 0; i < corpus.num_blocks(); ++i) all.push_back(block(corpus, i));
  return all;
}

// The whole blocks of `stream`.
void cut(const Ids& stream, size_t length, std::vector<Ids>* out) {
  for (size_t at = 0; at + length <= stream.size(); at += length) {
    out->push_back(Ids(stream.begin() + long(at), stream.begin() + long(at + length)));
  }
}

SourceOptions source_of(const std::filesystem::path& path, SourceFormat format, double weight = 1) {
  SourceOptions source;
  source.path = path;
  source.format = format;
  source.weight = weight;
  return source;
}

struct Fixture {
  TestFolder folder;
  ByteTokenizer tokenizer;
  DataOptions options;

  Fixture() { options.sequence_length = 4; }
  void add(const std::string& name, const std::string& bytes, SourceFormat format,
           double weight = 1) {
    options.train.push_back(source_of(folder.write(name, bytes), format, weight));
  }
  Corpus build(int64_t vocab_size = kVocab) {
    return Corpus::build(options, &tokenizer, vocab_size, folder / "cache", 2);
  }
};

// A file with the tensor `name` of `values`.
template <class Value>
void write_rows(const std::filesystem::path& path, std::vector<int64_t> shape,
                const std::vector<Value>& values, const std::string& name = "input_ids") {
  SafetensorsWriter writer(path);
  writer.declare(name, sizeof(Value) == 8 ? Dtype::kI64 : Dtype::kI32, std::move(shape));
  writer.write(std::as_bytes(std::span(values)));
  writer.commit();
}

// n documents of differing lengths, and their ids one by one.
std::string many_lines(int n, int salt, std::vector<Ids>* documents) {
  std::string text;
  for (int i = 0; i < n; ++i) {
    const std::string line = std::to_string(i * salt) + std::string(size_t(i * salt % 11), 'a');
    documents->push_back(ByteTokenizer().encode(line, true));
    text += line + "\n";
  }
  return text;
}

// The blocks of documents in groups of 1000.
std::vector<Ids> grouped(const std::vector<Ids>& documents, size_t length) {
  std::vector<Ids> all;
  for (size_t group = 0; group < documents.size(); group += 1000) {
    Ids stream;
    for (size_t d = group; d < std::min(group + 1000, documents.size()); ++d) {
      stream.insert(stream.end(), documents[d].begin(), documents[d].end());
    }
    cut(stream, length, &all);
  }
  return all;
}

}  // namespace

TEST_CASE("corpus: contiguous blocks run over documents, not over sources") {
  Fixture f;
  f.add("a.txt", "ab\ncde\nf\n", SourceFormat::kLines);  // ^ab^cde^f: 9 ids
  f.add("b.txt", "xyz", SourceFormat::kText);            // ^xyz
  const Corpus corpus = f.build();
  CHECK(corpus.num_tokens() == 13);
  CHECK(corpus.sequence_length() == 4);
  CHECK(blocks(corpus) ==
        std::vector<Ids>{{256, 'a', 'b', 256}, {'c', 'd', 'e', 256}, {256, 'x', 'y', 'z'}});
}

TEST_CASE("corpus: weights are passes, a fraction takes the first part") {
  Fixture f;
  std::string text(39, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = char('A' + i);
  f.add("a.txt", text, SourceFormat::kText);  // 40 ids: 10 blocks
  const std::vector<Ids> once = blocks(f.build());
  REQUIRE(once.size() == 10);
  const auto expect = [&](double weight, size_t count) {
    INFO("weight " << weight);
    f.options.train[0].weight = weight;
    const std::vector<Ids> all = blocks(f.build());
    REQUIRE(all.size() == count);
    for (size_t i = 0; i < count; ++i) CHECK(all[i] == once[i % 10]);
  };
  expect(2, 20);
  expect(0.5, 5);
  expect(0.7, 7);   // 28 tokens
  expect(0.29, 2);  // 11.6 tokens
  expect(2.3, 23);
  expect(0.1, 1);
}

TEST_CASE("corpus: reference groups of 1000 documents run across the sources") {
  Fixture f;
  f.options.blocking = Blocking::kReference;
  f.options.sequence_length = 7;
  std::vector<Ids> documents;
  f.add("a.txt", many_lines(1700, 1, &documents), SourceFormat::kLines);
  f.add("b.txt", many_lines(800, 3, &documents), SourceFormat::kLines);
  const std::vector<Ids> expected = grouped(documents, 7);
  CHECK(blocks(f.build()) == expected);
  std::vector<Ids> contiguous;
  Ids all;
  for (const Ids& document : documents) all.insert(all.end(), document.begin(), document.end());
  cut(all, 7, &contiguous);
  CHECK(contiguous != expected);  // the groups do drop something here
}

TEST_CASE("corpus: reference weights count documents") {
  Fixture f;
  f.options.blocking = Blocking::kReference;
  f.options.sequence_length = 5;
  std::vector<Ids> one, two;
  f.add("a.txt", many_lines(900, 1, &one), SourceFormat::kLines, 2.5);
  f.add("b.txt", many_lines(100, 3, &two), SourceFormat::kLines, 0.25);
  std::vector<Ids> stream = one;
  stream.insert(stream.end(), one.begin(), one.end());
  stream.insert(stream.end(), one.begin(), one.begin() + 450);
  stream.insert(stream.end(), two.begin(), two.begin() + 25);
  CHECK(blocks(f.build()) == grouped(stream, 5));
}

TEST_CASE("corpus: a group too short for a block gives none") {
  Fixture f;
  f.options.blocking = Blocking::kReference;
  f.options.sequence_length = 2100;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "a\n";   // 2000 ids
  for (int i = 0; i < 1000; ++i) text += "bb\n";  // 3000 ids
  f.add("a.txt", text, SourceFormat::kLines);
  const Corpus corpus = f.build();
  REQUIRE(corpus.num_blocks() == 1);
  CHECK(block(corpus, 0)[1] == 'b');
}

TEST_CASE("corpus: rows of safetensors are blocks in order") {
  for (const Blocking blocking : {Blocking::kContiguous, Blocking::kReference}) {
    Fixture f;
    f.options.blocking = blocking;
    const Ids values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 299};
    const std::vector<Ids> rows = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 299}};
    write_rows(f.folder / "a.safetensors", {3, 4}, values);
    write_rows(f.folder / "b.safetensors", {3, 4},
               std::vector<int64_t>(values.begin(), values.end()));
    for (const char* name : {"a.safetensors", "b.safetensors"}) {
      f.options.train = {source_of(f.folder / name, SourceFormat::kTokens)};
      const Corpus corpus = Corpus::build(f.options, nullptr, kVocab, f.folder / "cache", 2);
      CHECK(blocks(corpus) == rows);
      CHECK(corpus.num_tokens() == 12);
    }
    CHECK_FALSE(std::filesystem::exists(f.folder / "cache"));
    f.options.train[0].weight = 0.67;
    CHECK(f.build().num_blocks() == 2);
    f.options.train[0].weight = 1.34;
    CHECK(f.build().num_blocks() == 4);
  }
}

TEST_CASE("corpus: ids in files of others may lie at any byte") {
  Fixture f;
  std::string header = R"({"input_ids":{"dtype":"I32","shape":[1,4],"data_offsets":[0,16]}})";
  while (header.size() % 4 != 1) header += ' ';
  const Ids ids = {7, 8, 9, 10};
  std::string bytes(8, '\0');
  bytes[0] = char(header.size());
  bytes += header + std::string(reinterpret_cast<const char*>(ids.data()), 16);
  f.add("a.safetensors", bytes, SourceFormat::kTokens);
  CHECK(block(f.build(), 0) == ids);
}

TEST_CASE("corpus: rows that do not fit the options are usage errors") {
  Fixture f;
  write_rows(f.folder / "a.safetensors", {2, 6}, Ids(12, 1));
  f.options.train = {source_of(f.folder / "a.safetensors", SourceFormat::kTokens)};
  expect_error(ExitCode::kUsage, {"a.safetensors", "[2, 6]", "sequence_length is 4"},
               [&] { f.build(); });
  write_rows(f.folder / "a.safetensors", {3, 4}, Ids(12, 1));
  CHECK(f.build().num_blocks() == 3);
  f.add("t.txt", "text", SourceFormat::kText);
  CHECK(f.build().num_blocks() == 4);
  f.options.blocking = Blocking::kReference;
  expect_error(ExitCode::kUsage, {"a.safetensors", "reference"}, [&] { f.build(); });
}

TEST_CASE("corpus: token sources of another kind are refused") {
  Fixture f;
  const auto refused = [&](const std::string& name, const std::vector<std::string>& words) {
    f.options.train = {source_of(f.folder / name, SourceFormat::kTokens)};
    expect_input_error(words, [&] { f.build(); });
  };
  write_rows(f.folder / "name.safetensors", {3, 4}, Ids(12, 1), "ids");
  refused("name.safetensors", {"name.safetensors", "input_ids"});
  write_rows(f.folder / "flat.safetensors", {12}, Ids(12, 1));
  refused("flat.safetensors", {"flat.safetensors", "I32 [12]"});
  SafetensorsWriter writer(f.folder / "float.safetensors");
  writer.declare("input_ids", Dtype::kF32, {0, 4});
  writer.commit();
  refused("float.safetensors", {"float.safetensors", "F32"});
  write_rows(f.folder / "none.safetensors", {0, 4}, Ids());
  refused("none.safetensors", {"no block"});
  f.folder.write("text.txt", "just some text");
  refused("text.txt", {"text.txt"});
  f.folder.write("empty.bin", "");
  refused("empty.bin", {"empty.bin"});
  refused("missing.bin", {"missing.bin"});
  f.folder.write("cut.bin", "LBTOKENS\1");
  refused("cut.bin", {"cut.bin", "truncated"});
}

TEST_CASE("corpus: a token file of ours is a source, with documents") {
  Fixture f;
  std::vector<Ids> documents;
  f.add("a.txt", many_lines(1500, 1, &documents), SourceFormat::kLines);
  f.add("b.txt", many_lines(900, 3, &documents), SourceFormat::kLines);
  {
    TokenFileWriter writer(f.folder / "a.bin", std::string(32, '0'));
    for (size_t d = 0; d < 1500; ++d) writer.add_document(documents[d]);
    writer.commit();
  }
  for (const Blocking blocking : {Blocking::kContiguous, Blocking::kReference}) {
    f.options.blocking = blocking;
    DataOptions from_file = f.options;
    from_file.train[0] = source_of(f.folder / "a.bin", SourceFormat::kTokens);
    const Corpus corpus = Corpus::build(from_file, &f.tokenizer, kVocab, f.folder / "cache", 2);
    CHECK(blocks(corpus) == blocks(f.build()));
    CHECK(corpus.content_hash() == f.build().content_hash());
  }
}

TEST_CASE("corpus: ids outside the vocabulary are refused by place") {
  Fixture f;
  f.options.train = {source_of(f.folder / "a.safetensors", SourceFormat::kTokens)};
  for (const int32_t bad : {-1, 300, 2000000000}) {
    Ids values(12, 1);
    values[6] = bad;
    write_rows(f.folder / "a.safetensors", {3, 4}, values);
    expect_input_error({"a.safetensors", "row 1, position 2", std::to_string(bad), "300"},
                       [&] { f.build(300); });
  }
  std::vector<int64_t> wide(12, 1);
  wide[11] = (int64_t(1) << 32) + 5;  // 5 where it is cut to 32 bits
  write_rows(f.folder / "a.safetensors", {3, 4}, wide);
  expect_input_error({"row 2, position 3", "4294967301"}, [&] { f.build(300); });

  TokenFileWriter writer(f.folder / "a.bin", std::string(32, '0'));
  writer.add_document(Ids{1, 2, 299, 300});
  writer.commit();
  f.options.train = {source_of(f.folder / "a.bin", SourceFormat::kTokens)};
  expect_input_error({"a.bin", "token 3", "300"}, [&] { f.build(300); });
  CHECK(f.build(301).num_blocks() == 1);
}

TEST_CASE("corpus: a tokenizer larger than the model is a usage error") {
  Fixture f;
  f.add("a.txt", "some text", SourceFormat::kText);
  CHECK(f.build(257).num_blocks() == 2);
  expect_error(ExitCode::kUsage, {"257", "256"}, [&] { f.build(256); });
}

TEST_CASE("corpus: no sources, no path and too little text") {
  Fixture f;
  expect_error(ExitCode::kUsage, {"data.train"}, [&] { f.build(); });
  f.options.train.emplace_back();
  expect_error(ExitCode::kUsage, {"data.train[0].path"}, [&] { f.build(); });
  f.options.train.clear();
  f.add("a.txt", "ab", SourceFormat::kText);
  expect_input_error({"no block", "3 tokens", "4"}, [&] { f.build(); });
  f.add("b.txt", "ab", SourceFormat::kText);
  expect_input_error({"no block", "6 tokens"}, [&] { f.build(); });
  f.options.blocking = Blocking::kReference;  // one stream of both
  CHECK(f.build().num_blocks() == 1);
}

TEST_CASE("corpus: a missing source is noticed before another is tokenised") {
  Fixture f;
  f.add("a.txt", "some text", SourceFormat::kText);
  f.options.train.push_back(source_of(f.folder / "none.txt", SourceFormat::kText));
  expect_input_error({"none.txt"}, [&] { f.build(); });
  CHECK_FALSE(std::filesystem::exists(f.folder / "cache"));
}

TEST_CASE("corpus: the content hash follows what decides the blocks") {
  Fixture f;
  f.add("a.txt", "some text in a file", SourceFormat::kText);
  const std::string hash = f.build().content_hash();
  CHECK(hash.size() == 32);
  f.options.train[0].path = f.folder.write("elsewhere.txt", "some text in a file");
  f.options.shuffle = false;
  CHECK(f.build().content_hash() == hash);
  const auto changed = [&](auto change) {
    Fixture g;
    g.add("a.txt", "some text in a file", SourceFormat::kText);
    change(g);
    return g.build().content_hash() != hash;
  };
  CHECK_FALSE(changed([](Fixture&) {}));
  CHECK(changed([](Fixture& g) { g.options.sequence_length = 5; }));
  CHECK(changed([](Fixture& g) { g.options.blocking = Blocking::kReference; }));
  CHECK(changed([](Fixture& g) { g.options.train[0].weight = 2; }));
  CHECK(changed([](Fixture& g) { g.folder.write("a.txt", "some text in a filf"); }));
  CHECK(changed([](Fixture& g) { g.add("b.txt", "more", SourceFormat::kText); }));
}
