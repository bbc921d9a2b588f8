// Typed, checked access to one config.json. Every key a family asks for is remembered, so that what
// nobody asked for can be refused: a setting is understood, on the list of harmless ones
// (harmless_keys.h), or an error.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "littlebit/io/json.h"

namespace littlebit {

class ConfigReader {
 public:
  // `path` is where `config` lies in the file: "" or "text_config.". InputError where it is not an
  // object.
  ConfigReader(const Json& config, std::string path);

  bool present(const std::string& key);  // in the file, null included
  bool is_null(const std::string& key);  // in the file, as null

  // `fallback` where the key is missing or null. InputError where the type is wrong or the value
  // out of [low, high].
  int64_t integer(const std::string& key, int64_t fallback, int64_t low, int64_t high);
  double number(const std::string& key, double fallback, double low, double high);
  bool flag(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);

  // nullptr where the key is missing or null.
  const Json* object(const std::string& key);
  const Json* list(const std::string& key);
  std::optional<ConfigReader> part(const std::string& key);  // of an object; nullopt likewise

  void ignore(const std::string& key) { read_.insert(key); }  // say why at the call

  // InputError naming every key that was not read, is not harmless and is not off (null, false, 0,
  // "" or empty).
  void refuse_unread(const std::string& model_type);

  // "config.json: 'KEY' is VALUE, expected ..." with the key's full path.
  [[noreturn]] void fail(const std::string& key, const std::string& expected,
                         const std::string& hint = "") const;

 private:
  const Json* find(const std::string& key);

  const Json& config_;
  std::string path_;
  std::set<std::string> read_;
};

}  // namespace littlebit
