// Lines and wholes out of one moving window of text. For a plain file the window is the whole map
// and never moves.
#include "data/text_reader.h"

#include <algorithm>
#include <array>

#include "data/file_kind.h"
#include "data/unpacker.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/text.h"

namespace littlebit {
namespace {

constexpr size_t kPieceBytes = 256u << 10;

}  // namespace

TextReader::TextReader(const std::filesystem::path& path) : file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  if (bytes.empty())
    throw InputError(path.string() + ": the file is empty",
                     "give a file with text, or remove it from the list");
  text_ = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  if (is_gzip(text_) && path.extension() != ".gz") {
    throw InputError(
        path.string() + ": compressed with gzip, but its name does not end in .gz",
        "rename it so that it does, or unpack it: gunzip -c '" + path.string() + "' > FILE");
  }
  if (is_zstd(text_) && path.extension() != ".zst") {
    throw InputError(
        path.string() + ": compressed with zstd, but its name does not end in .zst",
        "rename it so that it does, or unpack it: zstd -dc '" + path.string() + "' > FILE");
  }
  refuse_no_text(path, text_);
  if (is_packed_name(path)) {
    text_ = {};
    unpacker_ = make_unpacker(path, bytes);
    read_more();
    if (is_gzip(text_) || is_zstd(text_)) {
      throw InputError(path.string() + ": compressed twice", "unpack it once");
    }
    refuse_no_text(path, text_);
  }
  refuse_wide_text(path, text_);
  if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
}

TextReader::~TextReader() = default;

uint64_t TextReader::bytes_read() const { return unpacker_ ? unpacker_->consumed() : at_; }

bool TextReader::read_more() {
  if (!unpacker_) return false;
  // Lines that were given out leave the window; views of them end with the next call.
  buffer_.erase(0, at_);
  dropped_ += at_;
  at_ = 0;
  const size_t size = buffer_.size();
  buffer_.resize(size + std::max(kPieceBytes, size));  // by doubling where one line is long
  const size_t got = unpacker_->read(std::span(buffer_).subspan(size));
  buffer_.resize(size + got);
  text_ = buffer_;
  line_feed_ = std::string_view::npos;
  return got > 0;
}

void TextReader::check_size(uint64_t bytes) const {
  if (bytes <= kMaxDocumentBytes) return;
  throw InputError(path().string() + ": a document of more than " +
                       format_bytes(kMaxDocumentBytes) + " begins at byte " +
                       std::to_string(dropped_ + at_),
                   "split the file into smaller ones");
}

size_t TextReader::line_end(size_t from) {
  // The next LF is remembered: a text with CRs only would otherwise be searched to its end for
  // every line.
  if (line_feed_ == std::string_view::npos || line_feed_ < from) {
    line_feed_ = std::min(text_.find('\n', from), text_.size());
  }
  const size_t carriage_return = text_.substr(from, line_feed_ - from).find('\r');
  if (carriage_return != std::string_view::npos) return from + carriage_return;
  return line_feed_ < text_.size() ? line_feed_ : std::string_view::npos;
}

bool TextReader::next_line(std::string_view* line) {
  size_t length = 0;  // of the line, as far as it was searched
  size_t end;
  while ((end = line_end(at_ + length)) == std::string_view::npos) {
    length = text_.size() - at_;
    check_size(length);
    if (!read_more()) break;
  }
  size_t ending = 0;
  if (end != std::string_view::npos) {
    length = end - at_;
    check_size(length);
    if (end + 1 == text_.size() && text_[end] == '\r') read_more();  // which may begin with its LF
    ending = text_.substr(at_ + length).starts_with("\r\n") ? 2 : 1;
  } else if (length == 0) {
    return false;
  }
  offset_ = dropped_ + at_;
  ++line_number_;
  *line = text_.substr(at_, length);
  at_ += length + ending;
  return true;
}

std::string_view TextReader::rest() {
  while (read_more()) check_size(text_.size() - at_);
  const std::string_view all = text_.substr(at_);
  check_size(all.size());
  offset_ = dropped_ + at_;
  ++line_number_;
  at_ = text_.size();
  check_utf8(all);
  if (all.find('\r') == std::string_view::npos) return all;
  translated_ = with_line_feeds(all);
  return translated_;
}

void TextReader::check_utf8(std::string_view text) const {
  const size_t bad = invalid_utf8_at(text);
  if (bad == std::string_view::npos) return;
  throw InputError(path().string() + ": not UTF-8 at byte " + std::to_string(offset_ + bad) +
                       (unpacker_ ? " of the uncompressed text" : ""),
                   "convert the file to UTF-8, for instance with iconv");
}

bool is_blank(std::string_view text) {
  // White space beyond ASCII, as Python's str.isspace() has it.
  constexpr std::array<std::string_view, 19> kWideSpaces = {
      "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
      "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
      "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
      "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
  while (!text.empty()) {
    const char c = text.front();
    if (c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F)) {
      text.remove_prefix(1);
      continue;
    }
    const auto wide = std::find_if(kWideSpaces.begin(), kWideSpaces.end(),
                                   [&](std::string_view space) { return text.starts_with(space); });
    if (wide == kWideSpaces.end()) return false;
    text.remove_prefix(wide->size());
  }
  return true;
}

}  // namespace littlebit
