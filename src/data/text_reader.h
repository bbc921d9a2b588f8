// A text file, plain or compressed (name ending in .gz or .zst), read line by line or whole, as
// Python's open() gives it: CR LF and a lone CR end a line as LF does, and become one. A byte order
// mark is skipped. Plain files are views into a map as far as nothing in them changes; compressed
// ones are unpacked piece by piece.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "littlebit/core/read_file.h"

namespace littlebit {

class Unpacker;

class TextReader {
 public:
  // InputError: missing, empty, not compressed though its name says so, or no UTF-8 text as far as
  // its first bytes tell.
  explicit TextReader(const std::filesystem::path& path);
  ~TextReader();

  // The next line without its end; false at the end. The view holds until the next call.
  // InputError: compressed data truncated or damaged, a line beyond kMaxDocumentBytes.
  bool next_line(std::string_view* line);
  // All that is left, as one view that holds as long as this object; InputError as next_line, and
  // where it is not UTF-8.
  std::string_view rest();
  // What comes next, at least some kilobytes of it or all there is, as it lies in the file.
  std::string_view ahead() const { return text_.substr(at_); }

  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t file_bytes() const { return file_.bytes().size(); }
  uint64_t bytes_read() const;  // of the file, as it lies on disk
  // Of the line or rest given last: the place of its first byte in the text, and its number from 1.
  uint64_t offset() const { return offset_; }
  int64_t line_number() const { return line_number_; }
  // InputError where `text`, a line given last, is not UTF-8.
  void check_utf8(std::string_view text) const;

  static constexpr uint64_t kMaxDocumentBytes = 2ull << 30;

 private:
  bool
  read_more();  // drops what was given and unpacks the next piece; false at the end of the data
  size_t line_end(size_t from);  // npos where the window shows none at or behind `from`
  void check_size(uint64_t bytes) const;
  MappedFile file_;
  std::unique_ptr<Unpacker> unpacker_;         // null for a plain file
  std::string buffer_;                         // compressed: what was unpacked and not yet dropped
  std::string translated_;                     // rest() where its line ends had to change
  std::string_view text_;                      // the plain file, or buffer_
  size_t at_ = 0;                              // next byte of text_ to give
  size_t line_feed_ = std::string_view::npos;  // the first one at or behind at_, or the end of
                                               // text_; npos: not looked for yet
  uint64_t dropped_ = 0;                       // bytes of the text in front of text_
  uint64_t offset_ = 0;
  int64_t line_number_ = 0;
};

// Whether `text` holds nothing but white space (Unicode's, as Python's str.strip() has it). `text`
// is UTF-8.
bool is_blank(std::string_view text);

}  // namespace littlebit
