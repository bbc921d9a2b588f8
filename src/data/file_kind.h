// The kind of a file, recognised by its first bytes: text readers refuse what is not text by its
// kind, instead of complaining about some byte of it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace littlebit {

// Whether `head` begins as gzip data does, or zstd data.
bool is_gzip(std::string_view head);
bool is_zstd(std::string_view head);

// InputError where the file or what was compressed in it begins with `head` and is a compressed
// file, an archive, a table, a model, an image or a pointer to one of them.
void refuse_no_text(const std::filesystem::path& file, std::string_view head);

// InputError where `head` is text in UTF-16 or UTF-32, with a byte order mark or without.
void refuse_wide_text(const std::filesystem::path& file, std::string_view head);

// InputError where `head` begins a JSON document of several lines and not a record on each.
void refuse_json_document(const std::filesystem::path& file, std::string_view head);

}  // namespace littlebit
