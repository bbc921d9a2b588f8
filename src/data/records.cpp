// Records one at a time. Of jsonl and Parquet memory holds a line, or some rows, and not the file;
// a JSON array is parsed whole.
#include "littlebit/data/records.h"

#include <nlohmann/json.hpp>

#include "data/file_kind.h"
#include "data/row_texts.h"
#include "data/text_reader.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json_builder.h"

namespace littlebit {
namespace {

using Sink = std::function<bool(const Json& record, const std::string& place)>;

std::string record_place(const std::filesystem::path& file, int64_t number) {
  return file.string() + ": record " + std::to_string(number);
}

// A row of Parquet as a JSON object.
class RowBuilder : public ParquetRowSink {
 public:
  Json take() { return json_.take(); }
  void begin_object() override { json_.open(Json::object()); }
  void key(std::string_view name) override { json_.key(std::string(name)); }
  void end_object() override { json_.close(); }
  void begin_list() override { json_.open(Json::array()); }
  void end_list() override { json_.close(); }
  void text(std::string_view value) override { json_.add(std::string(value)); }
  void integer(int64_t value) override { json_.add(value); }
  void number(double value) override { json_.add(value); }
  void boolean(bool value) override { json_.add(value); }
  void null() override { json_.add(nullptr); }

 private:
  JsonBuilder json_;
};

void for_each_row(const std::filesystem::path& file, const Sink& sink) {
  const ParquetLibrary& library = parquet_library(file);
  ParquetProblem problem;
  const std::unique_ptr<ParquetRows> rows = library.open_rows(file.string(), problem);
  if (rows == nullptr) {
    throw InputError(file.string() + ": " + problem.what, "check the file, or download it again");
  }
  for (int64_t number = 1;; ++number) {
    RowBuilder row;
    bool is_there = false;
    try {
      is_there = rows->next(row);
    } catch (const std::exception& error) {
      throw InputError(record_place(file, number) + ": damaged Parquet file: " + error.what(),
                       "download it again");
    }
    if (!is_there || !sink(row.take(), record_place(file, number))) return;
  }
}

void for_each_element(const std::filesystem::path& file, std::string_view text, const Sink& sink) {
  const Json array = parse_json(text, file.string());
  int64_t number = 0;
  for (const Json& record : array) {
    const std::string place = record_place(file, ++number);
    if (!record.is_object()) {
      throw InputError(
          place + ": expected a JSON object, found " + record.type_name(),
          "write one record per element, its fields by name: [{\"question\": \"...\", ...}]");
    }
    if (!sink(record, place)) return;
  }
}

}  // namespace

void for_each_record(const std::filesystem::path& file, const Sink& sink) {
  if (file.extension() == ".parquet") return for_each_row(file, sink);
  TextReader reader(file);
  if (trim(reader.ahead().substr(0, 4096)).starts_with('[')) {
    return for_each_element(file, reader.rest(), sink);
  }
  refuse_json_document(file, reader.ahead());
  std::string_view line;
  while (reader.next_line(&line)) {
    if (is_blank(line)) continue;
    const int64_t number = reader.line_number();
    const std::string place = file.string() + ":" + std::to_string(number);
    const Json record = parse_json(line, file.string(), number);
    if (!record.is_object()) {
      throw InputError(
          place + ": expected a JSON object on each line",
          "write one record per line, its fields by name: {\"question\": \"...\", ...}");
    }
    if (!sink(record, place)) return;
  }
}

}  // namespace littlebit
