// The documents of a text source.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/data/options.h"

namespace littlebit {

// Calls sink(document) for each document of a text source, in order; the view holds during the
// call. kText, kWikitext: the whole file; kLines: lines that are not blank, without their end;
// kJsonl: the field of each record. kParquet: a column's text of each row. A name ending in .gz or
// .zst is unpacked, line ends become "\n" and a byte order mark is skipped (text.h), NUL bytes are
// kept. Not for kTokens. InputError: missing,
// truncated or damaged compression, a file of another kind than its name or format says, not UTF-8
// (file, offset), a record that is not a JSON object or lacks the field (file, line), Parquet where
// its library is not there, a document beyond 2 GiB, nothing but white space in the whole file.
// Warns of jsonl that is read as text, and of a known text that is not whole.
void for_each_document(const SourceOptions& source,
                       const std::function<void(std::string_view)>& sink);

// As for_each_document; `bytes_done` counts bytes of the file on disk. A document's view holds
// during the call only.
using DocumentSink = std::function<void(std::string_view document, uint64_t bytes_done)>;

// Records that were left out: their number, what was wrong with the first.
struct SkippedRecords {
  int64_t count = 0, read = 0;  // read: the others
  std::vector<std::string> first;
};

// With `skipped`, records that for_each_document would refuse are left out and put there; a file
// with none but such is an InputError.
void read_documents(const SourceOptions& source, const DocumentSink& sink,
                    SkippedRecords* skipped = nullptr);

const char* format_name(SourceFormat format);  // as in the configuration

// What `auto` means for a file of this name; other formats stand.
SourceFormat settled_format(const SourceOptions& source);

// What for_each_document or a token file would refuse in the first bytes of a source, without
// reading the whole: InputError as there. `source` is one file.
void look_at_source(const SourceOptions& source, int64_t sequence_length,
                    BadRecord on_bad_record = BadRecord::kFail);

// A warning where a file of WikiText of this name has more or fewer lines than the data set's.
void warn_unless_whole_wikitext(const std::filesystem::path& file, std::string_view text);

// InputError with the one line that turns this Parquet file into the file `jsonl` (empty: of its
// name, beside it). Thrown by itself where a text source is one.
[[noreturn]] void refuse_parquet(const std::filesystem::path& file,
                                 std::filesystem::path jsonl = {});

// The WikiText rows of `text` (lines with their "\n", white-space-only lines as "") joined by
// "\n\n": specs section 8.
std::string join_wikitext_rows(std::string_view text);

}  // namespace littlebit
