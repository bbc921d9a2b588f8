// What a document is, format by format. Text is passed on as text_reader.h gives it, after a check
// that it is UTF-8.
#include "littlebit/data/documents.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/file_kind.h"
#include "data/row_texts.h"
#include "data/text_reader.h"
#include "data/token_source.h"
#include "data/unpacker.h"
#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

// Lines of WikiText's raw files, version 2 and (training text) 103. A cut download of a benchmark's
// text gives a perplexity that looks like any other: lines are counted where the name is a known
// one.
struct KnownText {
  const char* name;
  int64_t lines, other_lines;
};
constexpr KnownText kWikitexts[] = {{"wiki.train.raw", 36718, 1801350},
                                    {"wiki.valid.raw", 3760, 3760},
                                    {"wiki.test.raw", 4358, 4358}};

bool is_json_object(std::string_view line) {
  line = trim(line);
  return line.starts_with('{') && line.ends_with('}') && Json::accept(line);
}

// Whether the first two lines that are not blank (or the only one) are records of jsonl.
bool looks_like_jsonl(std::string_view head) {
  int records = 0;
  while (!head.empty() && records < 2) {
    const size_t end = head.find_first_of("\r\n");
    if (end == std::string_view::npos && records > 0) break;  // it may be cut
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end == std::string_view::npos ? head.size() : end + 1);
    if (trim(line).empty()) continue;
    if (!is_json_object(line)) return false;
    ++records;
  }
  return records > 0;
}

void warn_of_jsonl(const SourceOptions& source, std::string_view head) {
  if (!looks_like_jsonl(head)) return;
  log_warning(source.path.string() +
              ": its lines are JSON records, read as plain text with their braces and keys; the "
              "format jsonl reads the text of a field (data.train.format)");
}

// The value of `field` in a record: of the key of that name, or else, by its dots, of keys of
// objects in each other. nullptr where there is none. A key with a dot in it is found before the
// path that it could also be.
const Json* find_field(const Json& record, std::string_view field) {
  if (const auto whole = record.find(field); whole != record.end()) return &*whole;
  for (size_t dot = field.find('.'); dot != std::string_view::npos;
       dot = field.find('.', dot + 1)) {
    const auto object = record.find(field.substr(0, dot));
    if (object == record.end() || !object->is_object()) continue;
    if (const Json* found = find_field(*object, field.substr(dot + 1))) return found;
  }
  return nullptr;
}

// The fields that hold a text, those of objects by their dots.
void list_text_fields(const Json& record, const std::string& prefix,
                      std::vector<std::string>* out) {
  constexpr size_t kMaxListed = 10, kMaxDots = 3;
  for (const auto& [key, value] : record.items()) {
    if (out->size() == kMaxListed) return;
    if (value.is_string()) out->push_back(prefix + key);
    const auto dots = static_cast<size_t>(std::count(prefix.begin(), prefix.end(), '.'));
    if (value.is_object() && dots < kMaxDots) list_text_fields(value, prefix + key + ".", out);
  }
}

// The document of one jsonl record.
std::string record_text(const std::string& path, const SourceOptions& source, std::string_view line,
                        int64_t line_number) {
  const Json record = parse_json(line, path, line_number);
  const std::string where = path + ":" + std::to_string(line_number);
  if (!record.is_object()) {
    throw InputError(where + ": expected an object per line",
                     "a file of plain lines has the format `lines`");
  }
  const Json* text = find_field(record, source.field);
  if (text == nullptr) {
    std::vector<std::string> keys;
    list_text_fields(record, "", &keys);
    throw InputError(where + ": the record has no field \"" + source.field + "\"",
                     keys.empty()
                         ? "name the field that holds the text: data.train.field, eval.text_field"
                         : "set the field (data.train.field, eval.text_field); text fields here: " +
                               join(keys, ", "));
  }
  // Under the name that was asked for, so that the error about another type names it.
  return get_string(Json{{source.field, *text}}, source.field, where);
}

// Lets records that cannot be read end the reading, or leaves them out. data.on_bad_record decides
// which.
class Records {
 public:
  explicit Records(SkippedRecords* skipped) : skipped_(skipped) {}

  // Calls read(), which finds one record's document; false where it is left out.
  template <class Read>
  bool take(const Read& read) {
    if (skipped_ == nullptr) {
      read();
      return true;
    }
    try {
      read();
      ++skipped_->read;
      return true;
    } catch (const InputError& error) {
      constexpr size_t kShown = 3;
      if (skipped_->first.size() < kShown) skipped_->first.emplace_back(error.what());
      ++skipped_->count;
      return false;
    }
  }
  // InputError where all were left out.
  void check_any(const std::filesystem::path& file) const {
    if (skipped_ == nullptr || skipped_->count == 0 || skipped_->read > 0) return;
    throw InputError(file.string() + ": none of its " + format_count(skipped_->count) +
                         " records can be read; the first: " + skipped_->first.front(),
                     "check the field (data.train.field) and the format");
  }

 private:
  SkippedRecords* skipped_;
};

[[noreturn]] void refuse_blank(const std::filesystem::path& file) {
  throw InputError(file.string() + ": it holds nothing but white space",
                   "give a file with text, or remove it from the list");
}

constexpr size_t kLookedBytes = 256u << 10;

}  // namespace

SourceFormat settled_format(const SourceOptions& source) {
  if (source.format != SourceFormat::kAuto) return source.format;
  const std::filesystem::path name = unpacked_name(source.path.filename());
  const bool jsonl =
      name.extension() == ".jsonl" || name.extension() == ".json" || name.extension() == ".ndjson";
  if (source.path.extension() == ".parquet") return SourceFormat::kParquet;
  return jsonl ? SourceFormat::kJsonl : SourceFormat::kText;
}

void warn_unless_whole_wikitext(const std::filesystem::path& file, std::string_view text) {
  const std::string name = unpacked_name(file.filename()).string();
  const int64_t lines = std::count(text.begin(), text.end(), '\n') + (text.ends_with('\n') ? 0 : 1);
  for (const KnownText& known : kWikitexts) {
    if (name != known.name || lines == known.lines || lines == known.other_lines) continue;
    log_warning(file.string() + ": " + format_count(lines) + " lines; WikiText's " + known.name +
                " has " + format_count(known.lines) +
                ", so the file is incomplete or another text");
  }
}

void refuse_parquet(const std::filesystem::path& file, std::filesystem::path jsonl) {
  if (jsonl.empty()) (jsonl = file).replace_extension(".jsonl");
  throw InputError(file.string() + ": a Parquet file, which is not read here",
                   parquet_conversion(file, jsonl));
}

// The protocol joins the data set's rows with blank lines; a row is a line with its line feed, and
// an empty one adds only the blank lines around it.
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

namespace {

// Documents of a Parquet file, with format wikitext its rows as lines of one.
void read_rows(const SourceOptions& source, const DocumentSink& sink, SkippedRecords* skipped) {
  RowTexts rows(source);
  Records records(skipped);
  bool any_text = false;
  std::string lines;
  const bool wikitext = source.format == SourceFormat::kWikitext;
  while (rows.next()) {
    std::string_view text;
    if (!records.take([&] { text = rows.text(); })) continue;
    any_text = any_text || !is_blank(text);
    if (wikitext) {
      lines += text.empty() ? " \n" : text;  // the Hub's rows lack the blank of an empty line
    } else {
      sink(text, rows.bytes_done());
    }
  }
  records.check_any(source.path);
  if (!any_text) refuse_blank(source.path);
  if (wikitext) sink(join_wikitext_rows(lines), rows.bytes_done());
}

}  // namespace

void read_documents(const SourceOptions& source, const DocumentSink& sink,
                    SkippedRecords* skipped) {
  const SourceFormat format = settled_format(source);
  LB_ASSERT(format != SourceFormat::kTokens, "a token file has no text");
  if (has_rows(source)) return read_rows(source, sink, skipped);
  TextReader reader(source.path);
  if (format == SourceFormat::kJsonl) {
    refuse_json_document(source.path, reader.ahead());
  } else {
    warn_of_jsonl(source, reader.ahead());
  }
  bool any_text = false;
  const auto give = [&](std::string_view document) {
    any_text = any_text || !is_blank(document);
    sink(document, reader.bytes_read());
  };

  std::string_view line;
  Records records(skipped);
  switch (format) {
    case SourceFormat::kText:
    case SourceFormat::kWikitext: {
      const std::string_view text = reader.rest();
      any_text = !is_blank(text);
      if (!any_text) break;
      if (format == SourceFormat::kWikitext) warn_unless_whole_wikitext(source.path, text);
      give(format == SourceFormat::kText ? text : join_wikitext_rows(text));
      break;
    }
    case SourceFormat::kLines:
      while (reader.next_line(&line)) {
        if (records.take([&] { reader.check_utf8(line); }) && !is_blank(line)) give(line);
      }
      break;
    case SourceFormat::kJsonl:
      while (reader.next_line(&line)) {
        if (is_blank(line)) continue;
        std::string text;
        const bool taken = records.take([&] {
          reader.check_utf8(line);
          text = record_text(source.path.string(), source, line, reader.line_number());
        });
        if (taken) give(text);
      }
      break;
    case SourceFormat::kAuto:
    case SourceFormat::kParquet:
    case SourceFormat::kTokens:
      break;
  }
  records.check_any(source.path);
  if (!any_text) refuse_blank(source.path);
}

void look_at_source(const SourceOptions& source, int64_t sequence_length, BadRecord on_bad_record) {
  const SourceFormat format = settled_format(source);
  if (format == SourceFormat::kTokens) {
    const MappedFile file(source.path);
    if (!TokenFile::has_magic(file.bytes())) TokenSource::open(source, sequence_length);
    return;
  }
  if (has_rows(source)) {
    RowTexts rows(source);
    if (rows.next() && on_bad_record == BadRecord::kFail) rows.text();
    return;
  }
  TextReader reader(source.path);
  const bool lines = format == SourceFormat::kLines || format == SourceFormat::kJsonl;
  if (format == SourceFormat::kJsonl) refuse_json_document(source.path, reader.ahead());
  if (!lines && reader.ahead().size() > kLookedBytes) {
    const std::string_view head = reader.ahead().substr(0, kLookedBytes);
    // The last bytes may be a character that was cut.
    if (const size_t bad = invalid_utf8_at(head); bad < head.size() - 4) reader.check_utf8(head);
    return;
  }
  if (!lines) {
    if (is_blank(reader.rest())) refuse_blank(source.path);
    return;
  }
  std::string_view line;
  while (reader.next_line(&line)) {
    if (is_blank(line)) continue;
    // Then a bad first record is nothing to refuse the file for.
    if (on_bad_record == BadRecord::kSkip) return;
    reader.check_utf8(line);
    if (format == SourceFormat::kJsonl) {
      record_text(source.path.string(), source, line, reader.line_number());
    }
    return;
  }
  refuse_blank(source.path);
}

void for_each_document(const SourceOptions& source,
                       const std::function<void(std::string_view)>& sink) {
  read_documents(source, [&](std::string_view document, uint64_t) { sink(document); });
}

const char* format_name(SourceFormat format) {
  switch (format) {
    case SourceFormat::kAuto:
      return "auto";
    case SourceFormat::kText:
      return "text";
    case SourceFormat::kLines:
      return "lines";
    case SourceFormat::kWikitext:
      return "wikitext";
    case SourceFormat::kJsonl:
      return "jsonl";
    case SourceFormat::kParquet:
      return "parquet";
    case SourceFormat::kTokens:
      return "tokens";
  }
  return "";
}

}  // namespace littlebit
