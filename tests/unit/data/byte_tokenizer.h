// A tokenizer for tests: the ids of a text are its bytes, behind id 256 as BOS.
#pragma once

#include <string>
#include <vector>

#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit::test {

class ByteTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kBos = 256;

  explicit ByteTokenizer(std::string hash = "bytes") : hash_(std::move(hash)) {}

  std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const override {
    std::vector<int32_t> ids;
    if (add_special_tokens) ids.push_back(kBos);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string text;
    for (const int32_t id : ids) text += id == kBos ? '^' : static_cast<char>(id);
    return text;
  }
  int64_t vocab_size() const override { return kBos + 1; }
  std::string content_hash() const override { return hash_; }
  std::string description() const override { return "bytes"; }

 private:
  std::string hash_;
};

}  // namespace littlebit::test
