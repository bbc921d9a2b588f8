// The inside of the option tree: nodes, and values that read and print themselves as YAML.
//
// A tree is a root with sections; a section holds options; an option of kind kRecords holds one
// kRecord per element of the caller's vector, whose options point into that element.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml_document.h"
#include "littlebit/config/option_group.h"
#include "littlebit/config/option_tree.h"

namespace littlebit {

// How the value of a `key=value` word is read: as YAML; as the very text it is, unless all of it
// stands in quotes; the same, but what begins as a list is one.
enum class WordForm { kYaml, kLiteral, kLiteralOrList };

// The variable of the caller behind an option.
class OptionValue {
 public:
  virtual ~OptionValue() = default;
  // Takes the value over and returns "", or leaves it and returns what is wrong ("expected ..., got
  // ...").
  virtual std::string assign(const YamlDocument& document, const YamlNode& node) = 0;
  virtual std::string text() const = 0;     // as YAML on one line
  virtual std::string allowed() const = 0;  // "integer, at least 1"
  virtual WordForm word_form() const { return WordForm::kYaml; }
};

// How to reach the caller's std::vector<Record>.
struct RecordAccess {
  std::function<void(size_t)> resize;                  // new elements hold their defaults
  std::function<void(size_t, OptionGroup&)> describe;  // declares element i
};

struct OptionNode {
  enum class Kind { kSection, kValue, kRecords, kRecord };
  Kind kind = Kind::kSection;
  std::string name;  // "beta1"; of a record its index
  std::string key;   // "optim.beta1"; of the root ""
  std::string help;
  std::unique_ptr<OptionValue> value;  // kValue
  RecordAccess records;                // kRecords
  std::string main_key;                // kRecords and kRecord; may be ""
  std::unique_ptr<OptionNode>
      prototype;  // kRecords: a kRecord that names what each may hold; it has no values
  std::string default_text, allowed;
  std::set<Decides> decides;
  Origin origin = Origin::kDefault;
  std::string place;  // "file:line" or the word, "" for a default
  std::vector<std::unique_ptr<OptionNode>> children;

  OptionNode* child(std::string_view child_name) const;
  OptionNode& add_child(Kind child_kind, std::string child_name, std::string child_help);
};

// Makes `records` have as many elements (kRecord) as asked; those that stay keep what they know.
void resize_records(OptionNode& records, size_t count);

// Everything that is wrong, in the order it was found. Beyond kMaxListed errors are only counted.
class OptionErrors {
 public:
  static constexpr size_t kMaxListed = 100;
  void add(std::string message);
  bool full() const { return messages_.size() >= kMaxListed; }
  const std::vector<std::string>& messages() const { return messages_; }
  size_t unlisted() const { return unlisted_; }

 private:
  std::vector<std::string> messages_;
  size_t unlisted_ = 0;
};

// One input that values come from.
struct OptionSource {
  Origin origin;
  std::string name;  // the file, or the word in backticks
  std::string place(int line) const;
};

// Applies the value `index` of the document to `node`; `line` is where it was given.
void apply_value(const OptionNode& root, OptionNode& node, const YamlDocument& document,
                 uint32_t index, int line, const OptionSource& source, OptionErrors& errors);

// "; did you mean `...`?" or, where nothing is near, the names that exist below `parent`.
std::string suggestion(const OptionNode& root, const OptionNode& parent, const std::string& name);

// The text for a message: in backticks, control characters made visible, cut to a bearable length.
std::string shown(std::string_view text);

std::string print_integer(int64_t value);
std::string print_number(double value);  // shortest text that reads back as the same number
std::string print_text(const std::string& value);  // quoted where it has to be

}  // namespace littlebit
