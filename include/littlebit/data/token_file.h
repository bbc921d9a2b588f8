// Token files: the documents of one text source as token ids, mapped, never read whole.
// docs/formats.md has the layout.
//
// Invariant: a TokenFile that was opened is complete and undamaged (length, counts, document starts
// and checksum agree). Files are published atomically. Both classes are move-only; an open file may
// be read from any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "littlebit/core/hash.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/data/options.h"
#include "littlebit/tokenizer/tokenizer.h"

namespace littlebit {

class TokenFile {
 public:
  explicit TokenFile(const std::filesystem::path& path);  // InputError saying what is wrong with it

  std::span<const int32_t> tokens() const { return tokens_; }
  // Document d is tokens()[starts[d] .. starts[d + 1]); one entry more than there are documents.
  std::span<const uint64_t> document_starts() const { return starts_; }
  const std::string& key() const { return key_; }  // of what it was made from (32 hex digits)
  const std::string& checksum() const {
    return checksum_;
  }  // of ids and document starts (32 hex digits)

  static bool has_magic(std::span<const std::byte> bytes);  // whether a file begins as a token file

 private:
  MappedFile file_;
  std::span<const int32_t> tokens_;
  std::span<const uint64_t> starts_;
  std::string key_, checksum_;
};

// Streams documents to a new file, which is there under its name once commit() is done; holds 8
// bytes per document and a small buffer. OutputError where it cannot be written, BusyError where
// another process is writing it. One thread at a time.
class TokenFileWriter {
 public:
  TokenFileWriter(const std::filesystem::path& path, const std::string& key);  // key: 32 hex digits
  void add_document(std::span<const int32_t> ids);
  void commit();
  int64_t num_documents() const { return static_cast<int64_t>(starts_.size()) - 1; }
  int64_t num_tokens() const { return static_cast<int64_t>(starts_.back()); }

 private:
  void write(std::span<const std::byte> bytes);  // to the file and the checksum
  void flush();
  OutputFile file_;
  Hasher hasher_;
  std::vector<int32_t> buffer_;
  std::vector<uint64_t> starts_{0};
};

}  // namespace littlebit
