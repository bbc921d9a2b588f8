// YAML text as a small tree. The only place that sees yaml-cpp.
//
// Invariant: a document costs memory in proportion to its text, whatever it holds: nesting, the
// number of values and what aliases expand to are limited, and no value contains itself.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  bool quoted = false;  // a scalar in quotes is text, whatever it looks like
  std::string text;     // of a scalar
  std::vector<uint32_t>
      children;         // list: the values; map: key, value, key, value, ...; the keys are scalars
  int line = 0;         // from 1
  uint64_t weight = 1;  // bytes with all aliases expanded, roughly
};

struct YamlDocument {
  struct Duplicate {
    std::string key;
    int line, first_line;
  };
  std::vector<YamlNode> nodes;
  uint32_t root = 0;
  std::vector<Duplicate> duplicates;  // keys given twice in one map

  const YamlNode& at(uint32_t index) const { return nodes[index]; }
};

// Text that is not valid YAML, or beyond the limits. line and column count from 1; 0 where unknown.
struct YamlError : std::runtime_error {
  YamlError(const std::string& message, int error_line, int error_column)
      : std::runtime_error(message), line(error_line), column(error_column) {}
  int line, column;
};

YamlDocument parse_yaml(std::string_view text);  // one document; empty text is one null

// A document that is one scalar: `text` as it is, without a meaning for any character in it.
YamlDocument literal_document(std::string_view text);

// Whether `text` holds a comment: a `#` at its beginning or behind white space, outside of quotes.
bool has_yaml_comment(std::string_view text);

}  // namespace littlebit
