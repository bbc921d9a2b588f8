// Token files: what is written is read, every damaged byte is noticed, and the cache heals itself.
#include "littlebit/data/token_file.h"

#include <csignal>
#include <cstring>
#include <numeric>
#include <optional>
#include <thread>

#include "littlebit/core/fault_hook.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/signals.h"
#include "littlebit/data/tokenize_source.h"
#include "unit/data/byte_tokenizer.h"
#include "unit/io/expect_error.h"
#include "unit/io/test_folder.h"

using namespace littlebit;
using namespace littlebit::test;

namespace {

const std::string kKey = "0123456789abcdef0123456789abcdef";

std::vector<int32_t> ids_of(const TokenFile& file) {
  return {file.tokens().begin(), file.tokens().end()};
}
std::vector<uint64_t> starts_of(const TokenFile& file) {
  return {file.document_starts().begin(), file.document_starts().end()};
}

// Three documents, 5 tokens: an odd number, so that there is padding.
std::filesystem::path write_small(const TestFolder& folder) {
  TokenFileWriter writer(folder / "small.bin", kKey);
  writer.add_document(std::vector<int32_t>{1, 2, 3});
  writer.add_document({});
  writer.add_document(std::vector<int32_t>{-4, 2147483647});
  CHECK(writer.num_documents() == 3);
  CHECK(writer.num_tokens() == 5);
  writer.commit();
  return folder / "small.bin";
}

SourceOptions lines_source(const std::filesystem::path& path) {
  SourceOptions source;
  source.path = path;
  source.format = SourceFormat::kLines;
  return source;
}

std::filesystem::path only_file(const std::filesystem::path& folder) {
  std::filesystem::path found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    CHECK(found.empty());
    found = entry.path();
  }
  return found;
}

}  // namespace

TEST_CASE("token_file: the layout is the documented one") {
  const TestFolder folder;
  const std::string bytes = slurp(write_small(folder));
  REQUIRE(bytes.size() == 64 + 24 + 4 * 8 + 56);
  CHECK(bytes.substr(0, 8) == "LBTOKENS");
  CHECK(bytes.substr(8, 8) == std::string("\1\0\0\0\1\0\0\0", 8));
  CHECK(bytes.substr(16, 32) == kKey);
  int32_t id;
  std::memcpy(&id, bytes.data() + 64 + 12, 4);
  CHECK(id == -4);
  uint64_t counts[2];
  std::memcpy(counts, bytes.data() + bytes.size() - 56, 16);
  CHECK(counts[0] == 3);
  CHECK(counts[1] == 5);
  CHECK(bytes.substr(bytes.size() - 40, 32) == content_hash(bytes.substr(64, 24 + 32 + 16)));
  CHECK(bytes.substr(bytes.size() - 8) == "SNEKOTBL");
}

TEST_CASE("token_file: what is written is read") {
  const TestFolder folder;
  const TokenFile file(write_small(folder));
  CHECK(ids_of(file) == std::vector<int32_t>{1, 2, 3, -4, 2147483647});
  CHECK(starts_of(file) == std::vector<uint64_t>{0, 3, 3, 5});
  CHECK(file.key() == kKey);
}

TEST_CASE("token_file: documents larger than the writer's buffer") {
  const TestFolder folder;
  std::vector<int32_t> many(700001);
  std::iota(many.begin(), many.end(), 0);
  {
    TokenFileWriter writer(folder / "a.bin", kKey);
    writer.add_document(std::span(many).first(3));
    writer.add_document(many);
    writer.commit();
  }
  const TokenFile file(folder / "a.bin");
  REQUIRE(file.tokens().size() == 700004);
  CHECK(std::equal(many.begin(), many.end(), file.tokens().begin() + 3));
  CHECK(starts_of(file) == std::vector<uint64_t>{0, 3, 700004});
}

TEST_CASE("token_file: the checksum is of the ids and documents, not of the key") {
  const TestFolder folder;
  const auto write = [&](const char* name, const std::string& key, std::vector<int32_t> ids) {
    TokenFileWriter writer(folder / name, key);
    writer.add_document(ids);
    writer.commit();
    return TokenFile(folder / name).checksum();
  };
  const std::string checksum = write("a.bin", kKey, {1, 2});
  CHECK(write("b.bin", std::string(32, '0'), {1, 2}) == checksum);
  CHECK(write("c.bin", kKey, {1, 3}) != checksum);
  CHECK(write("d.bin", kKey, {1, 2, 0}) != checksum);
}

TEST_CASE("token_file: every cut and every flipped byte is noticed") {
  const TestFolder folder;
  const std::string bytes = slurp(write_small(folder));
  for (size_t length = 0; length < bytes.size(); ++length) {
    INFO("length " << length);
    const auto file = folder.write("cut.bin", bytes.substr(0, length));
    expect_input_error({"cut.bin", length < 8 ? "not a token file" : "truncated"},
                       [&] { TokenFile{file}; });
  }
  for (size_t at = 0; at < bytes.size(); ++at) {
    if (at >= 16 && at < 64) continue;  // the key, which its user compares, and reserved bytes
    INFO("byte " << at);
    std::string flipped = bytes;
    flipped[at] ^= 0x10;
    const auto file = folder.write("flip.bin", flipped);
    expect_input_error({"flip.bin"}, [&] { TokenFile{file}; });
  }
  expect_input_error({"long.bin"},
                     [&] { TokenFile(folder.write("long.bin", bytes + std::string(8, '\0'))); });
  std::string other = bytes;
  other[8] = 2;
  expect_input_error({"version 2", "reads 1"}, [&] { TokenFile(folder.write("v2.bin", other)); });
}

TEST_CASE("token_file: a writer that is dropped leaves nothing") {
  const TestFolder folder;
  {
    TokenFileWriter writer(folder / "a.bin", kKey);
    writer.add_document(std::vector<int32_t>{1});
  }
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("tokenize_source: each document has its own special tokens") {
  const TestFolder folder;
  const auto source = lines_source(folder.write("a.txt", "ab\n\nc\n"));
  const TokenFile file = tokenize_source(source, ByteTokenizer(), folder / "cache", 2);
  CHECK(ids_of(file) == std::vector<int32_t>{256, 'a', 'b', 256, 'c'});
  CHECK(starts_of(file) == std::vector<uint64_t>{0, 3, 5});
}

TEST_CASE("tokenize_source: the bytes are the same for every number of threads") {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 30000; ++i) text += "document " + std::string(size_t(i % 97), 'x') + "\n";
  text += std::string(9u << 20, 'y') + "\nlast\n";  // one document larger than a batch
  const auto source = lines_source(folder.write("a.txt", text));
  const ByteTokenizer tokenizer;
  std::string first;
  for (const int threads : {1, 2, 7}) {
    const std::string cache = "cache-" + std::to_string(threads);
    tokenize_source(source, tokenizer, folder / cache, threads);
    const std::string bytes = slurp(only_file(folder / cache));
    if (first.empty()) first = bytes;
    CHECK(bytes == first);
  }
  const TokenFile file(only_file(folder / "cache-1"));
  CHECK(file.document_starts().size() == 30003);
  CHECK(file.tokens().size() == text.size());  // BOS stands for each "\n"
  CHECK(file.tokens().back() == 't');
}

TEST_CASE("tokenize_source: a cached file is used again, and only for its own text and tokenizer") {
  const TestFolder folder;
  const auto cache = folder / "cache";
  const auto count = [&] { return std::distance(std::filesystem::directory_iterator(cache), {}); };
  auto source = lines_source(folder.write("a.txt", "one\ntwo\n"));
  const ByteTokenizer tokenizer;
  tokenize_source(source, tokenizer, cache, 1);
  REQUIRE(count() == 1);
  const auto time = std::filesystem::last_write_time(only_file(cache));
  const auto inode_kept = [&] {
    return std::filesystem::last_write_time(only_file(cache)) == time;
  };
  tokenize_source(source, tokenizer, cache, 2);
  CHECK(inode_kept());
  source.path = folder.write("copy.txt", "one\ntwo\n");  // the name of the file does not matter
  source.field = "body";                                 // nor a jsonl option for lines
  tokenize_source(source, tokenizer, cache, 1);
  CHECK(count() == 1);
  CHECK(inode_kept());

  tokenize_source(source, ByteTokenizer("other"), cache, 1);
  CHECK(count() == 2);
  source.format = SourceFormat::kText;
  CHECK(starts_of(tokenize_source(source, tokenizer, cache, 1)).size() == 2);
  CHECK(count() == 3);
  source.format = SourceFormat::kWikitext;
  tokenize_source(source, tokenizer, cache, 1);
  CHECK(count() == 4);
  source.path = folder.write("a.txt", "one\ntwo!\n");
  CHECK(tokenize_source(source, tokenizer, cache, 1).tokens().size() ==
        12);  // BOS, "one\n", "\n\n", "two!\n"
  CHECK(count() == 5);
}

TEST_CASE("tokenize_source: a damaged file in the cache is made again") {
  const TestFolder folder;
  const auto cache = folder / "cache";
  const auto source = lines_source(folder.write("a.txt", "one\ntwo\n"));
  const ByteTokenizer tokenizer;
  tokenize_source(source, tokenizer, cache, 1);
  const auto file = only_file(cache);
  const std::string whole = slurp(file);
  std::string other_version = whole, flipped = whole, other_key = whole;
  other_version[8] = 9;
  flipped[70] ^= 1;
  other_key[20] = other_key[20] == '0' ? '1' : '0';
  for (const std::string& damaged :
       {std::string(), std::string("foreign"), whole.substr(0, whole.size() / 2), other_version,
        flipped, other_key}) {
    std::ofstream(file, std::ios::binary) << damaged;
    CHECK(tokenize_source(source, tokenizer, cache, 1).tokens().size() == 8);
    CHECK(slurp(file) == whole);
  }
}

TEST_CASE("tokenize_source: a failed source leaves nothing in the cache") {
  const TestFolder folder;
  const auto source = lines_source(folder.write("a.txt", "one\n\xFF\n"));
  expect_input_error({"UTF-8"},
                     [&] { tokenize_source(source, ByteTokenizer(), folder / "cache", 1); });
  CHECK(std::filesystem::is_empty(folder / "cache"));
}

TEST_CASE("tokenize_source: a cache that cannot be written is an output error") {
  const TestFolder folder;
  const auto source = lines_source(folder.write("a.txt", "one\n"));
  folder.write("file", "x");
  expect_error(ExitCode::kOutput, {"file"},
               [&] { tokenize_source(source, ByteTokenizer(), folder / "file" / "cache", 1); });
  set_fault_hook([](std::string_view operation, const std::filesystem::path&) {
    return operation == "write" ? ENOSPC : 0;
  });
  expect_error(ExitCode::kOutput, {"tokens-"},
               [&] { tokenize_source(source, ByteTokenizer(), folder / "cache", 1); });
  set_fault_hook(nullptr);
  CHECK(std::filesystem::is_empty(folder / "cache"));
}

TEST_CASE("tokenize_source: a stop request ends it with exit code 143") {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line\n";
  const auto source = lines_source(folder.write("a.txt", text));
  install_stop_handlers();
  std::raise(SIGTERM);
  expect_error(ExitCode::kStopped, {"a.txt", "stop"},
               [&] { tokenize_source(source, ByteTokenizer(), folder / "cache", 1); });
  clear_stop_request();
  CHECK(std::filesystem::is_empty(folder / "cache"));
  CHECK(tokenize_source(source, ByteTokenizer(), folder / "cache", 1).tokens().size() == 100000);
}

TEST_CASE("tokenize_source: a cache file that another is writing is waited for") {
  const TestFolder folder;
  const auto source = lines_source(folder.write("a.txt", "one\n"));
  const ByteTokenizer tokenizer;
  tokenize_source(source, tokenizer, folder / "cache", 1);
  const auto path = only_file(folder / "cache");
  const std::string bytes = read_file(path);
  std::filesystem::remove(path);

  std::optional<TokenFileWriter> other(std::in_place, path, kKey);
  std::jthread later([&] {  // the other dies: its file is made here
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    other.reset();
  });
  CHECK(tokenize_source(source, tokenizer, folder / "cache", 1).tokens().size() == 4);
  CHECK(read_file(path) == bytes);

  other.emplace(path, kKey);
  install_stop_handlers();
  std::raise(SIGTERM);
  std::filesystem::remove(path);
  expect_error(ExitCode::kStopped, {"a.txt"},
               [&] { tokenize_source(source, tokenizer, folder / "cache", 1); });
  clear_stop_request();
}

TEST_CASE("tokenize_source: several at once make one file") {
  const TestFolder folder;
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i) + "\n";
  const auto source = lines_source(folder.write("a.txt", text));
  const ByteTokenizer tokenizer;
  parallel_for(4, 4, [&](int64_t) { tokenize_source(source, tokenizer, folder / "cache", 1); });
  CHECK(TokenFile(only_file(folder / "cache")).document_starts().size() == 20001);
}
