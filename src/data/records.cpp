// Records one at a time. Of jsonl and Parquet memory holds a line, or some rows, and not the file;
// a JSON array is parsed whole.
#include "littlebit/data/records.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "data/file_kind.h"
#include "data/row_texts.h"
#include "data/text_reader.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

using Sink = std::function<bool(const Json& record, const std::string& place)>;

std::string record_place(const std::filesystem::path& file, int64_t number) {
  return file.string() + ": record " + std::to_string(number);
}

// A row of Parquet as a JSON object.
class RowBuilder : public ParquetRowSink {
 public:
  Json take() { return std::move(root_); }
  void begin_object() override { open(Json::object()); }
  void key(std::string_view name) override { key_ = name; }
  void end_object() override { open_.pop_back(); }
  void begin_list() override { open(Json::array()); }
  void end_list() override { open_.pop_back(); }
  void text(std::string_view value) override { place(std::string(value)); }
  void integer(int64_t value) override { place(value); }
  void number(double value) override { place(value); }
  void boolean(bool value) override { place(value); }
  void null() override { place(nullptr); }

 private:
  Json* place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  void open(Json value) { open_.push_back(place(std::move(value))); }

  Json root_;
  std::vector<Json*> open_;
  std::string key_;
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
      throw InputError(place + ": expected a JSON object, found " + record.type_name(),
                       "one record an element, its fields by name: [{\"question\": \"...\", ...}]");
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
      throw InputError(place + ": expected a JSON object on each line",
                       "one record a line, its fields by name: {\"question\": \"...\", ...}");
    }
    if (!sink(record, place)) return;
  }
}

}  // namespace littlebit
