// Text as Python's open() reads it: UTF-8, CR LF and a lone CR as LF. A byte order mark, which
// open() would give as a character of the text, is skipped.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace littlebit {

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// The text of a file's bytes; `name` names the file in messages. InputError where they are no UTF-8
// text: another encoding, a compressed file, a table, a model.
std::string python_text(std::string_view bytes, const std::filesystem::path& name);

// `text` with each CR LF and each other CR as an LF.
std::string with_line_feeds(std::string_view text);

}  // namespace littlebit
