// Typed, named access to one JSON object: every message says which file, which key and what was
// expected.
//
// done() refuses keys that nobody asked for, so a setting that we do not understand can not pass
// unnoticed.
#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace littlebit::tokenizer {

class JsonFields {
 public:
  // `where` names the object in messages, e.g. "tokenizer.json: model". InputError unless `value`
  // is an object.
  JsonFields(const nlohmann::json& value, std::string where);

  bool has(const char* key);  // there and not null
  const nlohmann::json& get(const char* key);
  std::string text(const char* key);
  bool flag(const char* key);
  int64_t integer(const char* key, int64_t least, int64_t most);
  const nlohmann::json& array(const char* key);
  const nlohmann::json& object(const char* key);

  // The default where the key is missing or null.
  std::string text_or(const char* key, std::string otherwise);
  bool flag_or(const char* key, bool otherwise);

  void ignore(std::initializer_list<const char*> keys);  // keys that do not touch ids
  void done() const;

  const std::string& where() const { return where_; }
  std::string where(const char* key) const { return where_ + "." + key; }
  [[noreturn]] void fail(const char* key, const std::string& expected) const;

 private:
  const nlohmann::json* find(const char* key);

  const nlohmann::json& value_;
  std::string where_;
  std::set<std::string, std::less<>> asked_;
};

// The message of everything that we know of but do not do, or do not know.
[[noreturn]] void refuse(const std::string& where, const std::string& found,
                         const std::string& supported);

// Makes what "type" names from a table of {type, make(fields, more...)}; refuses other types and
// unread keys.
template <class Entry, size_t n, class... More>
auto read_typed(JsonFields& fields, const Entry (&table)[n], const char* kind, More&... more) {
  std::string type = fields.text("type"), known;
  for (const Entry& entry : table) {
    if (type == entry.type) {
      auto made = entry.make(fields, more...);
      fields.done();
      return made;
    }
    known += std::string(known.empty() ? "" : ", ") + entry.type;
  }
  refuse(fields.where(), std::string(kind) + " \"" + type + "\"", known);
}

}  // namespace littlebit::tokenizer
