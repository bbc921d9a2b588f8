// One source of the corpus as ids: a token file, or rows of a safetensors file. Ids are checked
// once, on opening.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "littlebit/data/options.h"
#include "littlebit/data/token_file.h"
#include "littlebit/io/safetensors.h"

namespace littlebit {

class TokenSource {
 public:
  // Of a kTokens source. InputError: unreadable, neither kind of file, no ids. UsageError: rows of
  // another length.
  static TokenSource open(const SourceOptions& source, int64_t sequence_length);
  TokenSource(const SourceOptions& source, TokenFile file);  // of a tokenised text source

  double weight() const { return weight_; }
  const std::string& name() const { return name_; }  // the path, for messages
  int64_t num_tokens() const { return num_tokens_; }
  // Where documents begin, one entry more than there are; empty for rows, which have no documents.
  std::span<const uint64_t> document_starts() const;
  bool has_rows() const { return rows_ != nullptr; }
  std::string content_hash() const;  // of the ids and document starts

  void copy(int64_t first, std::span<int32_t> out) const;
  void check_ids(
      int64_t vocab_size) const;  // InputError naming the first id outside [0, vocab_size)

 private:
  TokenSource(const SourceOptions& source, std::unique_ptr<SafetensorsFile> rows);
  int64_t id_at(int64_t i) const;
  std::string name_;
  double weight_;
  int64_t num_tokens_ = 0;
  std::optional<TokenFile> file_;
  std::unique_ptr<SafetensorsFile> rows_;
  const TensorView* ids_ = nullptr;  // in rows_
};

}  // namespace littlebit
