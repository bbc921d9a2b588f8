// The way to Parquet files: a library of its own (parquet/, built where `make setup` fetched Apache
// Arrow) that is loaded when such a file is met. This contract knows no header of Arrow's.
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
};
inline constexpr int64_t kParquetLibraryVersion = 1;

// lib/liblittlebit_parquet.so beside the program's folder; nullptr with a reason where it is not.
const ParquetLibrary* load_parquet_library(std::string& problem);

}  // namespace littlebit
