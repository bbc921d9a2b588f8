// Text <-> token ids, exactly as Hugging Face's tokenizer of the same folder gives them.
//
// A tokenizer is immutable after loading and may be used from several threads at once. Text is
// UTF-8; malformed bytes are an InputError with their offset. What a folder asks for and we do not
// implement is refused by name on loading.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Ids of `text`; added tokens written out in the text ("</s>") become their ids. With
  // `add_special_tokens` the ids that the tokenizer puts around a text (BOS, EOS) are there too. An
  // empty text without specials gives no ids.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special_tokens) const = 0;

  // Text of `ids`, special tokens kept, no clean-up of spaces. An id outside the vocabulary is an
  // InputError.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;

  // Highest id + 1, added tokens included.
  virtual int64_t vocab_size() const = 0;

  // The same over tokens that are not added ones: ids below it are what text becomes that spells no
  // added token out. Models may have no embedding for added tokens of other uses (images).
  virtual int64_t plain_vocab_size() const { return vocab_size(); }

  // The tokens that the folder or its class names as beginning and end of a text, whether or not
  // encode() adds them.
  virtual std::optional<int32_t> bos_id() const { return std::nullopt; }
  virtual std::optional<int32_t> eos_id() const { return std::nullopt; }

  // Of every file that decides the ids; 32 hex digits.
  virtual std::string content_hash() const = 0;

  // One line for people: "byte-level BPE, 50257 tokens, adds </s> in front".
  virtual std::string description() const = 0;
};

// UsageError where plain text can become ids that a model of `vocab_size` embeddings does not have.
// Added tokens may lie beyond: a text that spells one out is refused when its ids are looked at.
void check_vocabulary(const Tokenizer& tokenizer, int64_t vocab_size);

}  // namespace littlebit
