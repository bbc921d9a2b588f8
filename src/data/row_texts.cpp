// Rows of a Parquet file as documents.
#include "data/row_texts.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"

namespace littlebit {
namespace {

constexpr char kMagic[] = "PAR1";

std::string columns_hint(const std::vector<std::string>& columns) {
  constexpr size_t kMaxListed = 10;
  if (columns.empty()) return "no column of the file holds text in every row";
  return "set the column (data.train.field, eval.text_field); text columns here: " +
         join(std::span(columns).first(std::min(columns.size(), kMaxListed)), ", ");
}

}  // namespace

bool has_rows(const SourceOptions& source) {
  const SourceFormat format = settled_format(source);
  return format == SourceFormat::kParquet ||
         (format == SourceFormat::kWikitext && source.path.extension() == ".parquet");
}

std::string parquet_conversion(const std::filesystem::path& file,
                               const std::filesystem::path& jsonl) {
  return "convert it: python3 -c \"import pandas; pandas.read_parquet('" + file.string() +
         "').to_json('" + jsonl.string() + "', orient='records', lines=True, force_ascii=False)\"";
}

const ParquetLibrary& parquet_library(const std::filesystem::path& path) {
  const std::string name = path.string();
  const MappedFile file(path);  // says what is wrong where there is none
  const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
  if (!content.starts_with(kMagic)) {
    throw InputError(name + ": not a Parquet file: it does not begin with PAR1",
                     "set the source's format to what it is: text, lines, jsonl");
  }
  if (!content.ends_with(kMagic)) {
    throw InputError(name + ": truncated Parquet file: its end is missing", "download it again");
  }
  std::string missing;
  const ParquetLibrary* library = load_parquet_library(missing);
  if (library == nullptr) {
    std::filesystem::path jsonl = path;
    jsonl.replace_extension(".jsonl");
    throw InputError(name + ": a Parquet file, and " + missing,
                     "build again after `.ci/setup parquet`, which downloads Apache Arrow, or " +
                         parquet_conversion(path, jsonl));
  }
  return *library;
}

RowTexts::RowTexts(const SourceOptions& source)
    : name_(source.path.string()), field_(source.field) {
  const ParquetLibrary& library = parquet_library(source.path);
  bytes_ = std::filesystem::file_size(source.path);
  ParquetProblem problem;
  rows_ = library.open(name_, source.field, problem);
  if (rows_ != nullptr) return;
  throw InputError(name_ + ": " + problem.what, problem.text_columns.empty()
                                                    ? "check the file, or download it again"
                                                    : columns_hint(problem.text_columns));
}

bool RowTexts::next() {
  ++number_;
  try {
    return rows_->next(&row_);
  } catch (const std::exception& error) {
    throw InputError(
        name_ + ": damaged Parquet file at row " + std::to_string(number_) + ": " + error.what(),
        "download it again");
  }
}

std::string_view RowTexts::text() {
  const std::string where = name_ + ": row " + std::to_string(number_);
  if (!row_) {
    throw InputError(where + ": column \"" + field_ + "\" is null",
                     "data.on_bad_record=skip leaves such rows out");
  }
  if (const size_t bad = invalid_utf8_at(*row_); bad != std::string_view::npos) {
    throw InputError(where + ": not UTF-8 at byte " + std::to_string(bad) + " of its text",
                     "data.on_bad_record=skip leaves such rows out");
  }
  return *row_;
}

uint64_t RowTexts::bytes_done() const {
  const int64_t rows = std::max<int64_t>(rows_->num_rows(), 1);
  return static_cast<uint64_t>(static_cast<double>(bytes_) * static_cast<double>(number_) /
                               static_cast<double>(rows));
}

}  // namespace littlebit
