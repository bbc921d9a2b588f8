// The Parquet library: one column's texts out of a file, by Apache Arrow's Parquet reader, page by
// page, so that neither a column nor a row group is ever held whole; and whole rows (rows.cpp).
#include <arrow/io/file.h>
#include <arrow/memory_pool.h>
#include <parquet/column_reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/properties.h>
#include <parquet/schema.h>
#include <parquet/types.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "littlebit/data/parquet.h"
#include "rows.h"

namespace littlebit {
namespace {

constexpr int64_t kBatchRows = 1024;
constexpr int64_t kBufferBytes = 1 << 20;  // read from the file at once

// A column with one text, or null, in each row.
bool is_text(const parquet::ColumnDescriptor& column) {
  if (column.physical_type() != parquet::Type::BYTE_ARRAY || column.max_repetition_level() > 0) {
    return false;
  }
  const auto kind = column.converted_type();
  return kind == parquet::ConvertedType::UTF8 || kind == parquet::ConvertedType::NONE ||
         kind == parquet::ConvertedType::ENUM || kind == parquet::ConvertedType::JSON;
}

class Texts : public ParquetTexts {
 public:
  Texts(std::unique_ptr<parquet::ParquetFileReader> file, int column)
      : file_(std::move(file)),
        column_(column),
        present_(static_cast<int16_t>(
            file_->metadata()->schema()->Column(column)->max_definition_level())) {}

  int64_t num_rows() const override { return file_->metadata()->num_rows(); }

  bool next(std::optional<std::string_view>* text) override {
    while (row_ == rows_) {
      if (!read_batch()) return false;
    }
    text->reset();
    if (present_ == 0 || levels_[static_cast<size_t>(row_)] == present_) {
      const parquet::ByteArray& value = values_[static_cast<size_t>(value_++)];
      text->emplace(reinterpret_cast<const char*>(value.ptr), value.len);
    }
    ++row_;
    return true;
  }

 private:
  bool read_batch() {
    row_ = rows_ = value_ = 0;
    while (reader_ == nullptr || !reader_->HasNext()) {
      if (group_ == file_->metadata()->num_row_groups()) return false;
      reader_.reset();
      row_group_ = file_->RowGroup(group_++);
      reader_ = std::static_pointer_cast<parquet::ByteArrayReader>(row_group_->Column(column_));
    }
    int64_t values = 0;
    rows_ = reader_->ReadBatch(kBatchRows, levels_.data(), nullptr, values_.data(), &values);
    if (rows_ == 0 && values == 0) throw std::runtime_error("its column ends too early");
    return true;
  }

  std::unique_ptr<parquet::ParquetFileReader> file_;
  const int column_;
  const int16_t present_;  // the definition level of a value that is there; 0: all are
  int group_ = 0;
  std::shared_ptr<parquet::RowGroupReader> row_group_;
  std::shared_ptr<parquet::ByteArrayReader> reader_;
  std::array<int16_t, kBatchRows> levels_{};
  std::array<parquet::ByteArray, kBatchRows> values_{};
  int64_t row_ = 0, rows_ = 0, value_ = 0;
};

std::unique_ptr<ParquetTexts> open(const std::string& path, const std::string& column,
                                   ParquetProblem& problem) {
  try {
    arrow::MemoryPool* pool = arrow::system_memory_pool();
    parquet::ReaderProperties properties(pool);
    properties.enable_buffered_stream();
    properties.set_buffer_size(kBufferBytes);
    PARQUET_ASSIGN_OR_THROW(auto input, arrow::io::ReadableFile::Open(path, pool));
    auto file = parquet::ParquetFileReader::Open(std::move(input), properties);
    const parquet::SchemaDescriptor& schema = *file->metadata()->schema();
    int found = -1;
    for (int i = 0; i < schema.num_columns(); ++i) {
      const std::string name = schema.Column(i)->path()->ToDotString();
      if (is_text(*schema.Column(i))) problem.text_columns.push_back(name);
      if (name == column) found = i;
    }
    if (found < 0) {
      problem.what = "there is no column \"" + column + "\"";
      return nullptr;
    }
    if (!is_text(*schema.Column(found))) {
      problem.what = "column \"" + column + "\" does not hold a text in each row";
      return nullptr;
    }
    return std::make_unique<Texts>(std::move(file), found);
  } catch (const std::exception& error) {
    problem.what = error.what();
    return nullptr;
  }
}

constexpr ParquetLibrary kLibrary = {kParquetLibraryVersion, open, open_rows};

}  // namespace
}  // namespace littlebit

extern "C" __attribute__((visibility("default"))) const littlebit::ParquetLibrary*
littlebit_parquet_library() {
  return &littlebit::kLibrary;
}
