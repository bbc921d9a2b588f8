// jsonl records one at a time, so that memory holds a line and not the file. Whatever is wrong is
// told with the number of its line.
#include "littlebit/data/records.h"

#include <nlohmann/json.hpp>

#include "data/file_kind.h"
#include "data/text_reader.h"
#include "littlebit/core/error.h"

namespace littlebit {

void for_each_record(const std::filesystem::path& file,
                     const std::function<bool(const Json& record, int64_t line)>& sink) {
  TextReader reader(file);
  refuse_json_document(file, reader.ahead());
  std::string_view line;
  while (reader.next_line(&line)) {
    if (is_blank(line)) continue;
    const int64_t number = reader.line_number();
    const Json record = parse_json(line, file.string(), number);
    if (!record.is_object()) {
      throw InputError(
          file.string() + ":" + std::to_string(number) + ": expected a JSON object on each line",
          "one record a line, its fields by name: {\"question\": \"...\", ...}");
    }
    if (!sink(record, number)) return;
  }
}

}  // namespace littlebit
