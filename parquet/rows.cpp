// Rows by Arrow's own reader of nested columns, a batch of a row group at a time.
#include "rows.h"

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/memory_pool.h>
#include <arrow/record_batch.h>
#include <arrow/type.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>

#include <cstdint>

namespace littlebit {
namespace {

constexpr int64_t kBatchRows = 1024;

using arrow::Type;

// Whether a column of this type can be told; a struct without its members that cannot.
bool is_told(const arrow::DataType& type) {
  switch (type.id()) {
    case Type::STRING:
    case Type::LARGE_STRING:
    case Type::BOOL:
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::INT64:
    case Type::UINT8:
    case Type::UINT16:
    case Type::UINT32:
    case Type::UINT64:
    case Type::FLOAT:
    case Type::DOUBLE:
    case Type::NA:
    case Type::STRUCT:
      return true;
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST:
      return is_told(*type.field(0)->type());
    case Type::DICTIONARY:
      return is_told(*static_cast<const arrow::DictionaryType&>(type).value_type());
    default:
      return false;
  }
}

template <class Array>
const Array& as(const arrow::Array& array) {
  return static_cast<const Array&>(array);
}

void tell(const arrow::Array& array, int64_t row, ParquetRowSink& sink);

template <class Array>
void tell_list(const arrow::Array& array, int64_t row, ParquetRowSink& sink) {
  const auto& list = as<Array>(array);
  const int64_t begin = list.value_offset(row);
  sink.begin_list();
  for (int64_t i = 0; i < list.value_length(row); ++i) tell(*list.values(), begin + i, sink);
  sink.end_list();
}

void tell_struct(const arrow::StructArray& array, int64_t row, ParquetRowSink& sink) {
  const auto& fields = array.struct_type()->fields();
  sink.begin_object();
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!is_told(*fields[i]->type())) continue;
    sink.key(fields[i]->name());
    tell(*array.field(static_cast<int>(i)), row, sink);
  }
  sink.end_object();
}

void tell_uint64(uint64_t value, ParquetRowSink& sink) {
  if (value <= static_cast<uint64_t>(INT64_MAX)) return sink.integer(static_cast<int64_t>(value));
  sink.number(static_cast<double>(value));
}

void tell(const arrow::Array& array, int64_t row, ParquetRowSink& sink) {
  if (array.IsNull(row)) return sink.null();
  switch (array.type_id()) {
    case Type::STRING:
      return sink.text(as<arrow::StringArray>(array).GetView(row));
    case Type::LARGE_STRING:
      return sink.text(as<arrow::LargeStringArray>(array).GetView(row));
    case Type::BOOL:
      return sink.boolean(as<arrow::BooleanArray>(array).Value(row));
    case Type::INT8:
      return sink.integer(as<arrow::Int8Array>(array).Value(row));
    case Type::INT16:
      return sink.integer(as<arrow::Int16Array>(array).Value(row));
    case Type::INT32:
      return sink.integer(as<arrow::Int32Array>(array).Value(row));
    case Type::INT64:
      return sink.integer(as<arrow::Int64Array>(array).Value(row));
    case Type::UINT8:
      return sink.integer(as<arrow::UInt8Array>(array).Value(row));
    case Type::UINT16:
      return sink.integer(as<arrow::UInt16Array>(array).Value(row));
    case Type::UINT32:
      return sink.integer(as<arrow::UInt32Array>(array).Value(row));
    case Type::UINT64:
      return tell_uint64(as<arrow::UInt64Array>(array).Value(row), sink);
    case Type::FLOAT:
      return sink.number(as<arrow::FloatArray>(array).Value(row));
    case Type::DOUBLE:
      return sink.number(as<arrow::DoubleArray>(array).Value(row));
    case Type::STRUCT:
      return tell_struct(as<arrow::StructArray>(array), row, sink);
    case Type::LIST:
      return tell_list<arrow::ListArray>(array, row, sink);
    case Type::LARGE_LIST:
      return tell_list<arrow::LargeListArray>(array, row, sink);
    case Type::FIXED_SIZE_LIST:
      return tell_list<arrow::FixedSizeListArray>(array, row, sink);
    case Type::DICTIONARY: {
      const auto& dictionary = as<arrow::DictionaryArray>(array);
      return tell(*dictionary.dictionary(), dictionary.GetValueIndex(row), sink);
    }
    default:
      return sink.null();  // is_told() has kept them out
  }
}

class Rows : public ParquetRows {
 public:
  explicit Rows(std::unique_ptr<parquet::arrow::FileReader> file) : file_(std::move(file)) {
    PARQUET_ASSIGN_OR_THROW(reader_, file_->GetRecordBatchReader());
  }

  bool next(ParquetRowSink& sink) override {
    while (batch_ == nullptr || row_ == batch_->num_rows()) {
      row_ = 0;
      PARQUET_THROW_NOT_OK(reader_->ReadNext(&batch_));
      if (batch_ == nullptr) return false;
      PARQUET_THROW_NOT_OK(batch_->ValidateFull());  // lengths, places and UTF-8
    }
    sink.begin_object();
    for (int i = 0; i < batch_->num_columns(); ++i) {
      if (!is_told(*batch_->column(i)->type())) continue;
      sink.key(batch_->column_name(i));
      tell(*batch_->column(i), row_, sink);
    }
    sink.end_object();
    ++row_;
    return true;
  }

 private:
  std::unique_ptr<parquet::arrow::FileReader> file_;
  std::unique_ptr<arrow::RecordBatchReader> reader_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t row_ = 0;
};

}  // namespace

std::unique_ptr<ParquetRows> open_rows(const std::string& path, ParquetProblem& problem) {
  try {
    arrow::MemoryPool* pool = arrow::system_memory_pool();
    PARQUET_ASSIGN_OR_THROW(auto input, arrow::io::ReadableFile::Open(path, pool));
    parquet::arrow::FileReaderBuilder builder;
    PARQUET_THROW_NOT_OK(builder.Open(std::move(input)));
    parquet::ArrowReaderProperties properties(/*use_threads=*/false);
    properties.set_batch_size(kBatchRows);
    std::unique_ptr<parquet::arrow::FileReader> file;
    PARQUET_ASSIGN_OR_THROW(file, builder.memory_pool(pool)->properties(properties)->Build());
    return std::make_unique<Rows>(std::move(file));
  } catch (const std::exception& error) {
    problem.what = error.what();
    return nullptr;
  }
}

}  // namespace littlebit
