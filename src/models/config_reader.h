// Typed, checked access to one config.json. Every key a family asks for is remembered, so that what
// nobody asked for can be judged (known_keys.h): it is harmless, refused, or passed over with a
// warning.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "littlebit/io/json.h"
#include "littlebit/models/model_spec.h"

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

  // Whether all settings of this object stand in `other` with the same values; "type" is another
  // spelling of "rope_type". What is null says nothing.
  bool says_no_more_than(const ConfigReader& other) const;

  void ignore(const std::string& key) { read_.insert(key); }  // say why at the call

  // InputError naming every key that was not read and is known to change what a model computes, or
  // that says the model is quantised. Those that are not known are kept for finish().
  void refuse_unread(const std::string& model_type);
  // The same, and gives `spec` the settings that this reader and its parts passed over.
  void finish(const std::string& model_type, ModelSpec& spec);

  // "config.json: 'KEY' is VALUE, expected ..." with the key's full path.
  [[noreturn]] void fail(const std::string& key, const std::string& expected,
                         const std::string& hint = "") const;

 private:
  ConfigReader(const Json& config, std::string path,
               std::shared_ptr<std::vector<std::string>> passed_over);
  const Json* find(const std::string& key);
  void pass_over(const std::string& setting);
  [[noreturn]] void refuse_quantised(const std::string& key) const;

  const Json& config_;
  std::string path_;
  std::shared_ptr<std::vector<std::string>> passed_over_;  // "'KEY' = VALUE", shared with its parts
  std::set<std::string> read_;
};

}  // namespace littlebit
