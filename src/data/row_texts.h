// The texts of a Parquet file's column, checked, with the words of this program where something is
// wrong.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "littlebit/data/options.h"
#include "littlebit/data/parquet.h"

namespace littlebit {

// Whether a text source is read row by row: by its format, or a file for `wikitext` that is Parquet
// by its name.
bool has_rows(const SourceOptions& source);

// "convert it: python3 -c ...": the line that makes the file `jsonl` of a Parquet file.
std::string parquet_conversion(const std::filesystem::path& file,
                               const std::filesystem::path& jsonl);

// The library for a file that is Parquet by its first and last bytes. InputError: no such file, no
// Parquet file, a truncated one, or the library is not there.
const ParquetLibrary& parquet_library(const std::filesystem::path& file);

class RowTexts {
 public:
  // InputError: no such file, no Parquet file, no such column, or the library is not there.
  explicit RowTexts(const SourceOptions& source);
  bool next();  // to the next row; false at the end. InputError where the file is damaged
  // The row's text; the view holds until the next row. InputError where it is null or not UTF-8.
  std::string_view text();
  uint64_t bytes_done() const;  // a share of the file by its rows

 private:
  std::string name_;
  std::string field_;
  uint64_t bytes_;
  std::unique_ptr<ParquetTexts> rows_;
  std::optional<std::string_view> row_;
  int64_t number_ = 0;
};

}  // namespace littlebit
