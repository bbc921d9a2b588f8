// Reads Parquet files through a separate library (parquet/, built where `make setup` fetched Apache
// Arrow) that is loaded when such a file is met. This contract includes no header of Arrow's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

// The texts of one column of a file, row by row. One thread at a time.
class ParquetTexts {
 public:
  virtual ~ParquetTexts() = default;
  virtual int64_t num_rows() const = 0;
  // The next row's text, nullopt where it is null; false at the end. The view holds until the next
  // call. std::exception where the file is damaged.
  virtual bool next(std::optional<std::string_view>* text) = 0;
};

// Takes a row value by value: an object of columns by name, in it what they hold.
class ParquetRowSink {
 public:
  virtual ~ParquetRowSink() = default;
  virtual void begin_object() = 0;
  virtual void key(std::string_view name) = 0;
  virtual void end_object() = 0;
  virtual void begin_list() = 0;
  virtual void end_list() = 0;
  virtual void text(std::string_view value) = 0;
  virtual void integer(int64_t value) = 0;
  virtual void number(double value) = 0;
  virtual void boolean(bool value) = 0;
  virtual void null() = 0;
};

// Whole rows. Columns, and members of structs, that hold anything but texts, numbers, true or
// false, lists and structs are left out. One thread at a time.
class ParquetRows {
 public:
  virtual ~ParquetRows() = default;
  // The next row; false at the end. std::exception where the file is damaged.
  virtual bool next(ParquetRowSink& sink) = 0;
};

// What could not be opened, and the columns that hold a text in each row where that is known.
struct ParquetProblem {
  std::string what;
  std::vector<std::string> text_columns;
};

struct ParquetLibrary {
  int64_t version;  // kParquetLibraryVersion of its build
  // nullptr with a problem: no Parquet file, no such column, one that is no text.
  std::unique_ptr<ParquetTexts> (*open)(const std::string& file, const std::string& column,
                                        ParquetProblem& problem);
  std::unique_ptr<ParquetRows> (*open_rows)(const std::string& file, ParquetProblem& problem);
};
inline constexpr int64_t kParquetLibraryVersion = 2;

// lib/liblittlebit_parquet.so beside the program's folder; nullptr with a reason where it is not.
const ParquetLibrary* load_parquet_library(std::string& problem);

}  // namespace littlebit
