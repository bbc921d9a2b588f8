// What a document is, format by format. Text is passed on byte for byte, after a check that it is
// UTF-8.
#include "data/documents.h"

#include <nlohmann/json.hpp>

#include "data/text_reader.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/corpus.h"
#include "littlebit/io/json.h"

namespace littlebit {
namespace {

// The document of one jsonl record.
std::string record_text(const std::string& path, const SourceOptions& source, std::string_view line,
                        int64_t line_number) {
  const Json record = parse_json(line, path, line_number);
  const std::string where = path + ":" + std::to_string(line_number);
  if (!record.is_object()) {
    throw InputError(where + ": expected an object per line",
                     "a file of plain lines has the format `lines`");
  }
  if (!record.contains(source.field)) {
    std::vector<std::string> keys;
    for (const auto& [key, value] : record.items()) {
      if (value.is_string() && keys.size() < 10) keys.push_back(key);
    }
    throw InputError(where + ": the record has no field \"" + source.field + "\"",
                     keys.empty()
                         ? "name the field that holds the text: data.train.field, eval.text_field"
                         : "set the field (data.train.field, eval.text_field); text fields here: " +
                               join(keys, ", "));
  }
  return get_string(record, source.field, where);
}

}  // namespace

void refuse_parquet(const std::filesystem::path& file, std::filesystem::path jsonl) {
  if (jsonl.empty()) (jsonl = file).replace_extension(".jsonl");
  throw InputError(file.string() + ": a Parquet file; text, jsonl and jsonl.gz are read",
                   "convert it: python3 -c \"import pandas; pandas.read_parquet('" + file.string() +
                       "').to_json('" + jsonl.string() +
                       "', orient='records', lines=True, force_ascii=False)\"");
}

std::string join_wikitext_rows(std::string_view text) {
  std::string joined;
  joined.reserve(text.size() + text.size() / 16);
  for (bool first = true; !text.empty(); first = false) {
    const size_t newline = text.find('\n');
    const size_t length = newline == std::string_view::npos ? text.size() : newline + 1;
    const std::string_view row = text.substr(0, length);
    text.remove_prefix(length);
    if (!first) joined += "\n\n";
    if (!is_blank(row)) joined += row;
  }
  return joined;
}

void read_documents(const SourceOptions& source, const DocumentSink& sink) {
  LB_ASSERT(source.format != SourceFormat::kTokens, "a token file has no text");
  TextReader reader(source.path);
  bool any_text = false;
  const auto give = [&](std::string_view document) {
    any_text = any_text || !is_blank(document);
    sink(document, reader.bytes_read());
  };

  std::string_view line;
  switch (source.format) {
    case SourceFormat::kText:
    case SourceFormat::kWikitext: {
      const std::string_view text = reader.rest();
      reader.check_utf8(text);
      any_text = !is_blank(text);
      if (!any_text) break;
      give(source.format == SourceFormat::kText ? text : join_wikitext_rows(text));
      break;
    }
    case SourceFormat::kLines:
      while (reader.next_line(&line)) {
        reader.check_utf8(line);
        if (!is_blank(line)) give(line);
      }
      break;
    case SourceFormat::kJsonl:
      while (reader.next_line(&line)) {
        reader.check_utf8(line);
        if (!is_blank(line)) {
          give(record_text(source.path.string(), source, line, reader.line_number()));
        }
      }
      break;
    case SourceFormat::kTokens:
      break;
  }
  if (!any_text) {
    throw InputError(source.path.string() + ": no text in it, nothing but white space",
                     "give a file with text, or take it off the list");
  }
}

void for_each_document(const SourceOptions& source,
                       const std::function<void(std::string_view)>& sink) {
  read_documents(source, [&](std::string_view document, uint64_t) { sink(document); });
}

const char* format_name(SourceFormat format) {
  switch (format) {
    case SourceFormat::kText:
      return "text";
    case SourceFormat::kLines:
      return "lines";
    case SourceFormat::kWikitext:
      return "wikitext";
    case SourceFormat::kJsonl:
      return "jsonl";
    case SourceFormat::kTokens:
      return "tokens";
  }
  return "";
}

}  // namespace littlebit
