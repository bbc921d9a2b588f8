// Puts parsed YAML into the variables behind the options, and collects everything that is wrong
// with it.
#include <algorithm>

#include "config/option_node.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr size_t kMaxRecords = 10'000;

// Every key of the tree, without those of single records.
void collect_keys(const OptionNode& node, std::vector<std::string>* keys) {
  for (const auto& child : node.children) {
    if (child->kind == OptionNode::Kind::kRecord) continue;
    keys->push_back(child->key);
    if (child->kind == OptionNode::Kind::kSection) collect_keys(*child, keys);
  }
}

std::vector<std::string> child_names(const OptionNode& parent) {
  std::vector<std::string> names;
  for (const auto& child : parent.children) names.push_back(child->name);
  return names;
}

std::string last_word(const std::string& key) { return key.substr(key.rfind('.') + 1); }

// One application of one document.
struct Applier {
  const OptionNode& root;
  const YamlDocument& document;
  const OptionSource& source;
  OptionErrors& errors;

  void fail(int line, const std::string& message) {
    errors.add(errors.full() ? "" : source.place(line) + ": " + message);
  }

  void mark(OptionNode& node, int line) {
    node.origin = source.origin;
    node.place = source.place(line);
  }

  void apply(OptionNode& node, uint32_t index, int line) {
    const YamlNode& value = document.at(index);
    if (value.kind == YamlNode::Kind::kNull) return fail_null(node, line);
    switch (node.kind) {
      case OptionNode::Kind::kRecord:
        if (value.kind == YamlNode::Kind::kScalar && !node.main_key.empty()) {
          return apply(*node.child(node.main_key), index, line);
        }
        return apply_map(node, value, line);
      case OptionNode::Kind::kSection:
        return apply_map(node, value, line);
      case OptionNode::Kind::kRecords:
        return apply_records(node, index, line);
      case OptionNode::Kind::kValue: {
        const std::string wrong = node.value->assign(document, value);
        if (!wrong.empty()) return fail(line, "`" + node.key + "`: " + wrong);
        return mark(node, line);
      }
    }
  }

  void fail_null(const OptionNode& node, int line) {
    if (node.key.empty()) return fail(line, "expected a mapping of sections, got nothing");
    const std::string advice = node.kind == OptionNode::Kind::kValue
                                   ? "expected " + node.allowed +
                                         "; leave the key out for the default " + node.default_text
                                   : "give it one, or leave the key out";
    fail(line, "`" + node.key + "` has no value; " + advice);
  }

  void apply_map(OptionNode& node, const YamlNode& map, int line) {
    if (map.kind != YamlNode::Kind::kMap) {
      return fail(line, (node.key.empty() ? "expected" : "`" + node.key + "`: expected") +
                            " a mapping of `key: value`, got " +
                            (map.kind == YamlNode::Kind::kList ? "a list" : shown(map.text)));
    }
    for (size_t i = 0; i < map.children.size(); i += 2) {
      const YamlNode& name = document.at(map.children[i]);
      OptionNode* child = node.child(name.text);
      if (child != nullptr) {
        apply(*child, map.children[i + 1], name.line);
      } else {
        fail_unknown(node, name.text, name.line);
      }
    }
  }

  void fail_unknown(const OptionNode& parent, const std::string& name, int line) {
    if (errors.full()) return fail(line, "");
    if (name == "<<") return fail(line, "merge keys (`<<`) are not supported; repeat the values");
    const std::string key = parent.key.empty() ? name : parent.key + "." + name;
    fail(line, "unknown key " + shown(key) + suggestion(root, parent, name));
  }

  void apply_records(OptionNode& node, uint32_t index, int line) {
    const YamlNode& value = document.at(index);
    const bool is_list = value.kind == YamlNode::Kind::kList;
    const std::vector<uint32_t> items = is_list ? value.children : std::vector<uint32_t>{index};
    if (items.size() > kMaxRecords) {
      return fail(line, "`" + node.key + "`: expected at most " + format_count(kMaxRecords) +
                            " records, got " + format_count(static_cast<int64_t>(items.size())));
    }
    resize_records(node, 0);
    resize_records(node, items.size());
    mark(node, line);
    for (size_t i = 0; i < items.size(); ++i) {
      const int item_line = is_list ? document.at(items[i]).line : line;
      mark(*node.children[i], item_line);
      apply(*node.children[i], items[i], item_line);
    }
  }
};

}  // namespace

void OptionErrors::add(std::string message) {
  if (full()) {
    ++unlisted_;
  } else {
    messages_.push_back(std::move(message));
  }
}

std::string OptionSource::place(int line) const {
  return origin == Origin::kFile ? name + ":" + std::to_string(line) : name;
}

void apply_value(const OptionNode& root, OptionNode& node, const YamlDocument& document,
                 uint32_t index, int line, const OptionSource& source, OptionErrors& errors) {
  Applier{root, document, source, errors}.apply(node, index, line);
}

std::string suggestion(const OptionNode& root, const OptionNode& parent, const std::string& name) {
  const auto did_you_mean = [](const std::string& key) { return "; did you mean `" + key + "`?"; };
  const std::string prefix = parent.key.empty() ? "" : parent.key + ".";
  const std::vector<std::string> siblings = child_names(parent);
  if (const auto nearest = nearest_name(name, siblings)) return did_you_mean(prefix + *nearest);

  std::vector<std::string> keys;
  collect_keys(root, &keys);
  if (const size_t dot = name.rfind('.');
      parent.key.empty() && std::find(keys.begin(), keys.end(), name) != keys.end()) {
    return "; in a file it belongs in its section: `" + name.substr(0, dot) + ": {" +
           name.substr(dot + 1) + ": ...}`";
  }
  // The right name in the wrong section, or a slip of one.
  for (const std::string& key : keys) {
    if (last_word(key) == last_word(name)) return did_you_mean(key);
  }
  if (const auto nearest = nearest_name(prefix + name, keys)) return did_you_mean(*nearest);
  std::vector<std::string> words;
  for (const std::string& key : keys) words.push_back(last_word(key));
  if (const auto nearest = nearest_name(last_word(name), words)) {
    const auto at = std::find(words.begin(), words.end(), *nearest) - words.begin();
    return did_you_mean(keys[static_cast<size_t>(at)]);
  }
  // A part of a name: "bits" for "bits_per_weight".
  for (const std::string& sibling : siblings) {
    if (name.size() >= 3 && sibling.find(name) != std::string::npos) {
      return did_you_mean(prefix + sibling);
    }
  }
  return siblings.empty() ? "" : "; expected one of " + join(siblings, ", ");
}

}  // namespace littlebit
