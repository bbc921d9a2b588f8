// A text file, plain or gzipped (name ending in .gz), read line by line or whole. A byte order mark
// is skipped; nothing else is changed. Plain files are views into a map; gzipped ones are inflated
// piece by piece.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "littlebit/core/file.h"

namespace littlebit {

class Inflater;

class TextReader {
 public:
  explicit TextReader(const std::filesystem::path& path);  // InputError: missing, empty, not gzip
  ~TextReader();

  // The next line without its "\n" (a "\r" in front of it stays); false at the end. The view holds
  // until the next call. InputError: gzip data truncated or damaged, a line beyond
  // kMaxDocumentBytes.
  bool next_line(std::string_view* line);
  // All that is left, as one view that holds as long as this object. InputError as next_line.
  std::string_view rest();

  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t file_bytes() const { return file_.bytes().size(); }
  uint64_t bytes_read() const;  // of the file, as it lies on disk
  // Of the line or rest given last: the place of its first byte in the text, and its number from 1.
  uint64_t offset() const { return offset_; }
  int64_t line_number() const { return line_number_; }
  // InputError where `text`, given last, is not UTF-8.
  void check_utf8(std::string_view text) const;

  static constexpr uint64_t kMaxDocumentBytes = 2ull << 30;

 private:
  bool
  read_more();  // drops what was given and inflates the next piece; false at the end of the data
  void check_size(uint64_t bytes) const;
  MappedFile file_;
  std::unique_ptr<Inflater> inflater_;  // null for a plain file
  std::string buffer_;                  // gzip: what was inflated and not yet dropped
  std::string_view text_;               // the plain file, or buffer_
  size_t at_ = 0;                       // next byte of text_ to give
  uint64_t dropped_ = 0;                // bytes of the text in front of text_
  uint64_t offset_ = 0;
  int64_t line_number_ = 0;
};

// Whether `text` holds nothing but white space (Unicode's, as Python's str.strip() has it). `text`
// is UTF-8.
bool is_blank(std::string_view text);

}  // namespace littlebit
