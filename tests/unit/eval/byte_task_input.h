// A tokenizer whose ids are bytes, and what tasks are prepared from with it.
#pragma once

#include <filesystem>

#include "littlebit/eval/tasks.h"

namespace littlebit::test {

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
  std::optional<int32_t> eos_id() const override { return 256; }
  std::string content_hash() const override { return "bytes"; }
  std::string description() const override { return "bytes"; }
};

// What tasks are prepared from, with data below `root`.
struct ByteTaskInput {
  EvalOptions options;
  ByteTokenizer tokenizer;
  ModelSpec spec;
  explicit ByteTaskInput(const std::filesystem::path& root, const std::filesystem::path& text = {})
      : options{.text = text, .data_root = root} {
    spec.vocab_size = 257;
    spec.max_positions = 1024;
  }
  operator TaskInput() const { return {options, tokenizer, spec}; }
};

}  // namespace littlebit::test
