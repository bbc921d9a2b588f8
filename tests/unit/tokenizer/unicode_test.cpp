// Normal forms, letter case and character classes of every code point, against Hugging Face
// tokenizers (unicode.json).
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "littlebit/core/hash.h"
#include "littlebit/io/json.h"
#include "littlebit/tokenizer/folder.h"
#include "littlebit/tokenizer/tokenizer.h"
#include "unit/tokenizer/fixtures.h"
#include "unit/tokenizer/scratch_folder.h"

namespace littlebit {
namespace {

void append_code(std::string& out, uint32_t code) {
  auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 63));
    }
    put(0x80 | (code >> 6 & 63));
  }
  put(0x80 | (code & 63));
}

// As make_unicode.py: 256 code points a block, on their own and, for normalizers, between letters
// and marks.
std::string block_text(uint32_t first, bool marked, bool quoted) {
  std::string text, around;
  for (uint32_t code = first; code < first + 256; ++code) {
    if (code >= 0xD800 && code < 0xE000) continue;
    if (quoted) text += '\'';
    append_code(text, code);
    around += 'a';
    append_code(around, code);
    around += "\xCC\xA3\xCC\x81\xE1\x85\xA1";  // U+0323 U+0301 U+1161
  }
  return marked ? text + around : text;
}

TEST_CASE("every code point is treated as Hugging Face treats it") {
  const Json all = read_json_file(tokenizer_fixtures() / "unicode.json");
  const Json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  REQUIRE(all.at("cases").size() > 30);
#if defined(__SANITIZE_ADDRESS__)
  constexpr size_t kStep = 16;  // each takes seconds there
#else
  constexpr size_t kStep = 1;
#endif
  for (size_t i = 0; i < all.at("cases").size(); i += kStep) {
    const Json& item = all.at("cases")[i];
    Json steps = Json::array();
    if (item.contains("pre_tokenizer")) steps.push_back(item["pre_tokenizer"]);
    steps.push_back(byte_level);
    Json whole = {
        {"model", {{"type", "BPE"}, {"vocab", all.at("vocab")}, {"merges", Json::array()}}},
        {"normalizer", item.value("normalizer", Json())},
        {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
        {"decoder", {{"type", "ByteLevel"}}}};
    TokenizerFolder folder;
    folder.write("tokenizer.json", to_json_line(whole));
    auto tokenizer = load_tokenizer(folder.path());
    const std::string described = to_json_line(item);
    const bool quoted = described.find("(?i:") != std::string::npos;
    Hasher hasher;
    for (uint32_t first = 0; first < 0x110000; first += 256) {
      std::string text = block_text(first, item.contains("normalizer"), quoted);
      if (text.empty()) continue;
      hasher.update(tokenizer->decode(tokenizer->encode(text, false)));
      hasher.update(std::string_view("\0", 1));
    }
    CAPTURE(described);
    CHECK(hasher.hex() == item.at("hash"));
  }
}

}  // namespace
}  // namespace littlebit
