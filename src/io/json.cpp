// Strict JSON parsing on top of nlohmann's SAX reader: a small builder that refuses duplicate keys
// and deep nesting, and messages that carry source:line:column. Printing never fails: malformed
// UTF-8 is replaced, NaN becomes null.
#include "littlebit/io/json.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/io/json_builder.h"

namespace littlebit {
namespace {

constexpr size_t kMaxDepth = 128;

// At most `limit` bytes of `text`, cut between characters.
std::string shortened(std::string text, size_t limit = 200) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xC0) == 0x80) --limit;
  return text.substr(0, limit) + "...";
}

// The text under parsing, and where things in it are.
struct Text {
  std::string_view bytes;
  const std::string& source;
  int64_t first_line;

  // Always throws: `reason`, placed at byte `offset`.
  [[noreturn]] void fail(size_t offset, const std::string& reason) const {
    const std::string_view before = bytes.substr(0, std::min(offset, bytes.size()));
    const int64_t line = first_line + std::count(before.begin(), before.end(), '\n');
    const std::string_view in_line = before.substr(before.rfind('\n') + 1);  // npos + 1 = 0
    const int64_t column = 1 + std::count_if(in_line.begin(), in_line.end(),
                                             [](char c) { return (c & 0xC0) != 0x80; });
    throw InputError(
        source + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + reason,
        "the file may be truncated or damaged: download or write it again");
  }
};

// Hands the text to nlohmann byte by byte and tells how far it has read.
struct Cursor {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** progress;

  reference operator*() const { return *at; }
  Cursor& operator++() {
    *progress = ++at;
    return *this;
  }
  bool operator==(const Cursor& other) const { return at == other.at; }
  bool operator!=(const Cursor& other) const { return at != other.at; }
};

// Builds the value; every callback returns true or throws.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(const Text& text, const char* const* progress) : text_(text), progress_(progress) {}

  Json take() { return json_.take(); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (json_.innermost().contains(name)) {
      text_.fail(string_start(), "the key \"" + shortened(name) + "\" appears twice");
    }
    json_.key(std::move(name));
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The library's words without its own tag and position: "[...] parse error at line 1, column 2:
    // reason".
    std::string reason = error.what();
    const size_t tag = reason.find("] ");
    if (reason.starts_with('[') && tag != std::string::npos) reason.erase(0, tag + 2);
    const size_t column = reason.find("column ");
    const size_t colon = reason.find(": ", column);
    if (reason.starts_with("parse error at") && colon != std::string::npos) {
      reason.erase(0, colon + 2);
    }
    text_.fail(position == 0 ? 0 : position - 1, "not valid JSON: " + shortened(reason));
  }

 private:
  bool add(Json value) {
    json_.add(std::move(value));
    return true;
  }
  bool open(Json value) {
    if (json_.depth() == kMaxDepth) {
      text_.fail(offset() - 1, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    json_.open(std::move(value));
    return true;
  }
  bool close() {
    json_.close();
    return true;
  }
  size_t offset() const { return static_cast<size_t>(*progress_ - text_.bytes.data()); }
  size_t string_start()
      const {  // the opening quote of the string whose closing quote was read last
    size_t at = offset() - 1;
    for (;;) {
      at = text_.bytes.rfind('"', at - 1);
      size_t slashes = 0;
      while (slashes < at && text_.bytes[at - 1 - slashes] == '\\') ++slashes;
      if (slashes % 2 == 0) return at;
    }
  }

  const Text& text_;
  const char* const* progress_;
  JsonBuilder json_;
};

const Json& required(const Json& object, const std::string& key, const std::string& source) {
  const auto found = object.find(key);  // end() where `object` is no object
  if (found == object.end() || found->is_null()) {
    throw InputError(source + ": the key \"" + key + "\" is " +
                     (found == object.end() ? "missing" : "null"));
  }
  return *found;
}

[[noreturn]] void wrong_type(const Json& value, const std::string& key, const std::string& source,
                             const std::string& expected) {
  throw InputError(source + ": \"" + key + "\" must be " + expected + ", found " +
                   shortened(to_json_line(value), 60));
}

}  // namespace

Json parse_json(std::string_view bytes, const std::string& source, int64_t first_line) {
  const Text text{bytes, source, first_line};
  if (const size_t bad = invalid_utf8_at(bytes); bad != std::string_view::npos) {
    text.fail(bad, "not UTF-8 (byte offset " + std::to_string(bad) + ")");
  }
  // The library takes a NUL byte for the end of the text.
  if (const size_t nul = bytes.find('\0'); nul != std::string_view::npos) {
    text.fail(nul, "not valid JSON: a NUL byte");
  }
  const char* progress = bytes.data();
  Builder builder(text, &progress);
  Json::sax_parse(Cursor{bytes.data(), &progress}, Cursor{bytes.data() + bytes.size(), &progress},
                  &builder);
  return builder.take();
}

Json read_json_file(const std::filesystem::path& file, uint64_t max_bytes) {
  return parse_json(read_file(file, max_bytes), file.string());
}

std::string to_json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json_pretty(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

double get_number(const Json& object, const std::string& key, const std::string& source) {
  const Json& value = required(object, key, source);
  if (!value.is_number()) wrong_type(value, key, source, "a number");
  return value.get<double>();
}

std::string get_string(const Json& object, const std::string& key, const std::string& source) {
  const Json& value = required(object, key, source);
  if (!value.is_string()) wrong_type(value, key, source, "a string");
  return value.get<std::string>();
}

}  // namespace littlebit
