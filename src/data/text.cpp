// Text of bytes that are there already; text_reader.cpp has what is read piece by piece.
#include "littlebit/data/text.h"

#include "data/file_kind.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {

// Python's universal newlines, in which the published programs read their texts: CRLF and CR become
// LF.
std::string with_line_feeds(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t found; (found = text.find('\r')) != std::string_view::npos;) {
    result.append(text.substr(0, found)) += '\n';
    text.remove_prefix(found + (text.substr(found).starts_with("\r\n") ? 2 : 1));
  }
  return result.append(text);
}

std::string python_text(std::string_view bytes, const std::filesystem::path& name) {
  if (is_gzip(bytes) || is_zstd(bytes)) {
    throw InputError(name.string() + ": compressed with " + (is_gzip(bytes) ? "gzip" : "zstd"),
                     "give the unpacked text");
  }
  refuse_no_text(name, bytes);
  refuse_wide_text(name, bytes);
  if (const size_t bad = invalid_utf8_at(bytes); bad != std::string_view::npos) {
    throw InputError(name.string() + ": not UTF-8 at byte " + std::to_string(bad),
                     "convert the text to UTF-8, for instance with iconv");
  }
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  return with_line_feeds(bytes);
}

}  // namespace littlebit
