// Declarations become nodes of the tree.
#include "littlebit/config/option_group.h"

#include <algorithm>

#include "config/option_node.h"
#include "config/option_values.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

void add_value(OptionNode& parent, std::string name, std::unique_ptr<OptionValue> value,
               std::string help, std::set<Decides> decides) {
  OptionNode& node = parent.add_child(OptionNode::Kind::kValue, std::move(name), std::move(help));
  node.default_text = value->text();
  node.allowed = value->allowed();
  node.value = std::move(value);
  node.decides = std::move(decides);
}

}  // namespace

OptionNode* OptionNode::child(std::string_view child_name) const {
  for (const auto& each : children) {
    if (each->name == child_name) return each.get();
  }
  return nullptr;
}

OptionNode& OptionNode::add_child(Kind child_kind, std::string child_name, std::string child_help) {
  LB_ASSERT(!child_name.empty() &&
                child_name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") ==
                    std::string::npos,
            "option names are lower-case words: " + child_name);
  LB_ASSERT(child(child_name) == nullptr, "option declared twice: " + key + "." + child_name);
  auto node = std::make_unique<OptionNode>();
  node->kind = child_kind;
  node->key = key.empty() ? child_name : key + "." + child_name;
  node->name = std::move(child_name);
  node->help = std::move(child_help);
  return *children.emplace_back(std::move(node));
}

void OptionGroup::flag(std::string name, bool* value, std::string help, std::set<Decides> decides) {
  add_value(*node_, std::move(name), flag_value(value), std::move(help), std::move(decides));
}
void OptionGroup::integer(std::string name, int64_t* value, IntegerRange range, std::string help,
                          std::set<Decides> decides) {
  add_value(*node_, std::move(name), integer_value(value, range), std::move(help),
            std::move(decides));
}
void OptionGroup::number(std::string name, double* value, NumberRange range, std::string help,
                         std::set<Decides> decides) {
  add_value(*node_, std::move(name), number_value(value, range), std::move(help),
            std::move(decides));
}
void OptionGroup::text(std::string name, std::string* value, std::string help,
                       std::set<Decides> decides) {
  add_value(*node_, std::move(name), text_value(value), std::move(help), std::move(decides));
}
void OptionGroup::path(std::string name, std::filesystem::path* value, std::string help,
                       std::set<Decides> decides) {
  add_value(*node_, std::move(name), path_value(value), std::move(help), std::move(decides));
}
void OptionGroup::texts(std::string name, std::vector<std::string>* values, std::string help,
                        std::set<Decides> decides) {
  add_value(*node_, std::move(name), texts_value(values), std::move(help), std::move(decides));
}
void OptionGroup::choice(std::string name, int* index, std::vector<std::string> choices,
                         std::string help, std::set<Decides> decides) {
  add_choice(
      std::move(name), [index] { return *index; }, [index](int chosen) { *index = chosen; },
      std::move(choices), std::move(help), std::move(decides));
}
void OptionGroup::choice(std::string name, std::string* value, std::vector<std::string> choices,
                         std::string help, std::set<Decides> decides) {
  const auto place = [value, choices] {
    const auto found = std::find(choices.begin(), choices.end(), *value);
    LB_ASSERT(found != choices.end(), "`" + *value + "` is none of the choices");
    return static_cast<int>(found - choices.begin());
  };
  add_choice(
      std::move(name), place, [value, choices](int chosen) { *value = choices.at(chosen); },
      choices, std::move(help), std::move(decides));
}
void OptionGroup::add_choice(std::string name, std::function<int()> get,
                             std::function<void(int)> set, std::vector<std::string> choices,
                             std::string help, std::set<Decides> decides) {
  add_value(*node_, std::move(name),
            choice_value(std::move(get), std::move(set), std::move(choices)), std::move(help),
            std::move(decides));
}

void OptionGroup::add_records(std::string name, std::string main_key, std::string help,
                              std::function<size_t()> size, std::function<void(size_t)> resize,
                              std::function<void(size_t, OptionGroup&)> describe,
                              const std::function<void(OptionGroup&)>& describe_new,
                              std::set<Decides> decides) {
  LB_ASSERT(node_->kind == OptionNode::Kind::kSection, "records inside of records");
  OptionNode& node = node_->add_child(OptionNode::Kind::kRecords, std::move(name), std::move(help));
  node.decides = std::move(decides);
  node.records = {std::move(resize), std::move(describe)};
  node.main_key = std::move(main_key);
  node.allowed = "list of records";
  node.prototype = std::make_unique<OptionNode>();
  node.prototype->kind = OptionNode::Kind::kRecord;
  OptionGroup group(node.prototype.get());
  describe_new(group);
  for (const auto& option : node.prototype->children)
    option->value.reset();  // its variable is gone
  LB_ASSERT(node.main_key.empty() || node.prototype->child(node.main_key) != nullptr,
            "the main key is an option of the record");
  resize_records(node, size());
  std::vector<std::string> records;
  for (const auto& record : node.children) {
    std::vector<std::string> fields;
    for (const auto& option : record->children) {
      fields.push_back(option->name + ": " + option->default_text);
    }
    records.push_back("{" + join(fields, ", ") + "}");
  }
  node.default_text = "[" + join(records, ", ") + "]";
}

void resize_records(OptionNode& records, size_t count) {
  records.records.resize(count);
  records.children.resize(std::min(records.children.size(), count));
  // The vector may have moved its elements, so every record is declared anew; those known keep
  // names and origins.
  for (size_t i = 0; i < count; ++i) {
    auto fresh = std::make_unique<OptionNode>();
    fresh->kind = OptionNode::Kind::kRecord;
    fresh->name = std::to_string(i);
    fresh->key = records.key + "." + fresh->name;
    fresh->main_key = records.main_key;
    OptionGroup group(fresh.get());
    records.records.describe(i, group);
    if (i == records.children.size()) {
      records.children.push_back(std::move(fresh));
      continue;
    }
    OptionNode& known = *records.children[i];
    for (size_t k = 0; k < known.children.size(); ++k) {
      known.children[k]->value = std::move(fresh->children[k]->value);
    }
  }
}

}  // namespace littlebit
