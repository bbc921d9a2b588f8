// The tree: sources in, one list of errors out.
#include "littlebit/config/option_tree.h"

#include <algorithm>
#include <charconv>

#include "config/option_node.h"
#include "config/option_state.h"
#include "littlebit/config/option_group.h"
#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr uint64_t kMaxFileBytes = 16 << 20;

std::string at_position(const YamlError& error) {
  if (error.line <= 0) return "";
  return ":" + std::to_string(error.line) +
         (error.column > 0 ? ":" + std::to_string(error.column) : "");
}

// The number of a record in a key, or npos.
size_t record_number(const std::string& text) {
  size_t number = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() ? number
                                                                             : std::string::npos;
}

WordForm word_form(const OptionNode& node) {
  if (node.kind == OptionNode::Kind::kValue) return node.value->word_form();
  const bool bare = node.kind == OptionNode::Kind::kRecords && !node.main_key.empty();
  return bare ? WordForm::kLiteralOrList : WordForm::kYaml;
}

// The value of a word for `node`. Texts and paths are taken as they are: whoever types a `#` or a
// `: ` means that character.
YamlDocument parse_word(const OptionNode& node, std::string_view value) {
  const WordForm form = word_form(node);
  const bool quoted = value.starts_with('"') || value.starts_with('\'');
  const bool list = value.starts_with('[') || value.starts_with('{');
  if (form == WordForm::kLiteral && !quoted) return literal_document(value);
  if (form == WordForm::kLiteralOrList && !quoted && !list) return literal_document(value);
  if (has_yaml_comment(value)) {
    throw YamlError("a comment (#) begins in it, which an override cannot have", 0, 0);
  }
  return parse_yaml(value);
}

}  // namespace

OptionTree::OptionTree() : state_(std::make_unique<State>()) {}
OptionTree::~OptionTree() = default;

OptionNode* OptionTree::section_node(const std::string& section, const std::string& help) {
  if (section.empty()) return &state_->root;
  OptionNode* node = state_->root.child(section);
  if (node == nullptr) node = &state_->root.add_child(OptionNode::Kind::kSection, section, help);
  if (node->help.empty()) node->help = help;
  return node;
}

void OptionTree::load_yaml(const std::filesystem::path& file) {
  load_yaml_text(read_file(file, kMaxFileBytes), file.string());
}

void OptionTree::load_yaml_text(std::string_view text, std::string name) {
  LB_ASSERT(!state_->words_set, "files are loaded before words are set");
  const OptionSource source{Origin::kFile, std::move(name)};
  YamlDocument document;
  try {
    document = parse_yaml(text);
  } catch (const YamlError& error) {
    throw InputError(source.name + at_position(error) + ": " + error.what(),
                     "see configs/reference.yaml for the form of a configuration");
  }
  state_->add_duplicates(document, source);
  const YamlNode& root = document.at(document.root);
  if (root.kind == YamlNode::Kind::kNull) return;  // nothing in it: all defaults
  apply_value(state_->root, state_->root, document, document.root, root.line, source,
              state_->errors);
}

void OptionTree::set(std::string_view word) {
  state_->words_set = true;
  const OptionSource source{Origin::kCommandLine, shown(word)};
  const size_t equals = word.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return state_->errors.add(source.name + ": expected key.path=value");
  }
  OptionNode* node = state_->node_to_set(word.substr(0, equals), source);
  if (node == nullptr) return;
  YamlDocument document;
  try {
    document = parse_word(*node, word.substr(equals + 1));
  } catch (const YamlError& error) {
    return state_->errors.add(source.name + ": the value: " + error.what() +
                              "; put text with special characters in quotes, '\"...\"'");
  }
  state_->add_duplicates(document, source);
  apply_value(state_->root, *node, document, document.root, 1, source, state_->errors);
}

void OptionTree::set_default(std::string_view key, std::string_view text, std::string place) {
  if (is_set(key)) return;
  const OptionSource source{Origin::kPreset, std::move(place)};
  OptionNode* option = state_->node_to_set(key, source);
  const YamlDocument document = parse_word(*option, text);
  apply_value(state_->root, *option, document, document.root, 1, source, state_->errors);
}

void OptionTree::State::add_duplicates(const YamlDocument& document, const OptionSource& source) {
  for (const YamlDocument::Duplicate& each : document.duplicates) {
    std::string message = source.place(each.line) + ": key " + shown(each.key) + " given twice";
    if (source.origin == Origin::kFile) {
      message += ", first on line " + std::to_string(each.first_line);
    }
    errors.add(std::move(message));
  }
}

OptionNode* OptionTree::State::node_to_set(std::string_view key, const OptionSource& source) {
  OptionNode* node = &root;
  OptionNode* list = nullptr;
  const std::vector<std::string> parts = split(key, '.');
  for (size_t i = 0; i < parts.size(); ++i) {
    if (node->kind == OptionNode::Kind::kRecords) {
      list = node;
      const size_t number = record_number(parts[i]);
      if (number > node->children.size()) {
        errors.add(source.name + ": expected the number of a record of `" + node->key + "`, 0 to " +
                   std::to_string(node->children.size()) + ", got " + shown(parts[i]));
        return nullptr;
      }
      if (number == node->children.size()) resize_records(*node, number + 1);
      node = node->children[number].get();
    } else {
      OptionNode* child = node->child(parts[i]);
      if (child == nullptr) {
        const std::string rest = join(std::span(parts).subspan(i), ".");
        errors.add(source.name + ": unknown key " + shown(key) + suggestion(root, *node, rest));
        return nullptr;
      }
      node = child;
    }
  }
  if (list != nullptr) {
    for (OptionNode* changed : {list, node}) {
      changed->origin = source.origin;
      changed->place = source.name;
    }
  }
  return node;
}

const OptionNode* OptionTree::State::find(std::string_view key) const {
  const OptionNode* node = &root;
  for (const std::string& part : split(key, '.')) {
    node = node->child(part);
    if (node == nullptr) return nullptr;
  }
  return node;
}

void OptionTree::add_error(std::string message) { state_->errors.add(std::move(message)); }

void OptionTree::add_error_at(std::string_view key, std::string message) {
  const OptionNode& found = node(key);
  const std::string name = "`" + found.key + "`";
  state_->errors.add((found.place.empty() ? name + " (the default)" : found.place + ": " + name) +
                     ": " + message);
}

void OptionTree::finish() const {
  OptionErrors all = state_->errors;
  state_->check_main_keys(state_->root, &all);
  if (all.messages().empty()) return;
  std::string text = all.messages()[0];
  const size_t count = all.messages().size() + all.unlisted();
  if (count > 1) {
    text = format_count(static_cast<int64_t>(count)) + " errors in the configuration:\n  " +
           join(all.messages(), "\n  ");
    if (all.unlisted() > 0) {
      text += "\n  ... and " + format_count(static_cast<int64_t>(all.unlisted())) + " more";
    }
  }
  throw UsageError(text, "--help lists every option");
}

void OptionTree::State::check_main_keys(const OptionNode& node, OptionErrors* all) const {
  for (const auto& child : node.children) {
    if (child->kind == OptionNode::Kind::kSection) check_main_keys(*child, all);
    if (child->kind != OptionNode::Kind::kRecords || child->main_key.empty()) continue;
    for (const auto& record : child->children) {
      const OptionNode& main = *record->child(child->main_key);
      if (main.origin != Origin::kDefault || record->origin == Origin::kDefault) continue;
      all->add(record->place + ": `" + record->key + "` has no `" + main.name +
               "`, which every record needs");
    }
  }
}

const OptionNode& OptionTree::node(std::string_view key) const {
  const OptionNode* found = state_->find(key);
  LB_ASSERT(found != nullptr, "no option `" + std::string(key) + "`");
  return *found;
}

Origin OptionTree::origin(std::string_view key) const { return node(key).origin; }

std::string OptionTree::text(std::string_view key) const {
  const OptionNode& option = node(key);
  LB_ASSERT(option.value != nullptr, "`" + std::string(key) + "` has no value of its own");
  return option.value->text();
}

std::vector<std::string> OptionTree::State::keys_where(
    const std::function<bool(const OptionNode&)>& wanted) const {
  std::vector<std::string> keys;
  for (const auto& section : root.children) {
    if (section->kind == OptionNode::Kind::kValue && wanted(*section)) keys.push_back(section->key);
    for (const auto& option : section->children) {
      if (wanted(*option)) keys.push_back(option->key);
    }
  }
  return keys;
}

std::vector<std::string> OptionTree::keys() const {
  return state_->keys_where([](const OptionNode&) { return true; });
}

std::vector<std::string> OptionTree::deciding(Decides what) const {
  return state_->keys_where(
      [what](const OptionNode& node) { return node.decides.count(what) > 0; });
}

}  // namespace littlebit
