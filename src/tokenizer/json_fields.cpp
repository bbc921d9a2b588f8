// Typed reading of JSON objects with one form of message: file and key, what was found, what was
// expected.
#include "tokenizer/json_fields.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit::tokenizer {

namespace {
constexpr char kHint[] = "take the tokenizer files as they came with the model";
}  // namespace

JsonFields::JsonFields(const nlohmann::json& value, std::string where)
    : value_(value), where_(std::move(where)) {
  if (!value.is_object())
    throw InputError(where_ + ": expected an object, found " + value.type_name(), kHint);
}

const nlohmann::json* JsonFields::find(const char* key) {
  asked_.insert(key);
  auto it = value_.find(key);
  return it == value_.end() || it->is_null() ? nullptr : &*it;
}

void JsonFields::fail(const char* key, const std::string& expected) const {
  auto it = value_.find(key);
  std::string found = it == value_.end() ? "nothing" : it->type_name();
  throw InputError(where_ + ": key \"" + key + "\": expected " + expected + ", found " + found,
                   kHint);
}

bool JsonFields::has(const char* key) { return find(key) != nullptr; }

const nlohmann::json& JsonFields::get(const char* key) {
  const auto* value = find(key);
  if (!value) fail(key, "a value");
  return *value;
}

std::string JsonFields::text(const char* key) {
  const auto* value = find(key);
  if (!value || !value->is_string()) fail(key, "a string");
  return value->get<std::string>();
}

bool JsonFields::flag(const char* key) {
  const auto* value = find(key);
  if (!value || !value->is_boolean()) fail(key, "true or false");
  return value->get<bool>();
}

int64_t JsonFields::integer(const char* key, int64_t least, int64_t most) {
  const auto* value = find(key);
  std::string expected =
      "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  if (!value || !value->is_number_integer()) fail(key, expected);
  if (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(most))
    fail(key, expected);
  int64_t number = value->get<int64_t>();
  if (number < least || number > most) fail(key, expected);
  return number;
}

const nlohmann::json& JsonFields::array(const char* key) {
  const auto* value = find(key);
  if (!value || !value->is_array()) fail(key, "a list");
  return *value;
}

const nlohmann::json& JsonFields::object(const char* key) {
  const auto* value = find(key);
  if (!value || !value->is_object()) fail(key, "an object");
  return *value;
}

std::string JsonFields::text_or(const char* key, std::string otherwise) {
  return has(key) ? text(key) : otherwise;
}

bool JsonFields::flag_or(const char* key, bool otherwise) {
  return has(key) ? flag(key) : otherwise;
}

void JsonFields::ignore(std::initializer_list<const char*> keys) {
  for (const char* key : keys) asked_.insert(key);
}

void JsonFields::done() const {
  for (const auto& [key, value] : value_.items()) {
    if (asked_.count(key) || value.is_null()) continue;
    std::vector<std::string> known(asked_.begin(), asked_.end());
    refuse(where_, "key \"" + key + "\"", "the keys " + join(known, ", "));
  }
}

void refuse(const std::string& where, const std::string& found, const std::string& supported) {
  throw InputError(where + ": " + found + " is not supported; supported: " + supported,
                   "a tokenizer is either read exactly or not at all; see docs/tokenizers.md");
}

}  // namespace littlebit::tokenizer
