// Reads {"String": ...} or {"Regex": ...}; anything else is refused by name.
#include "tokenizer/text_pattern.h"

#include <nlohmann/json.hpp>

#include "tokenizer/json_fields.h"

namespace littlebit::tokenizer {

TextPattern read_text_pattern(const nlohmann::json& value, const std::string& where) {
  JsonFields fields(value, where);
  if (fields.has("Regex")) {
    std::string pattern = fields.text("Regex");
    fields.done();
    return TextPattern(Regex(pattern, where));
  }
  std::string literal = fields.text("String");
  fields.done();
  if (literal.empty()) refuse(where, "an empty string", "a string of one character or more");
  return TextPattern(literal);
}

}  // namespace littlebit::tokenizer
