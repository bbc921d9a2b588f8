// The typed option tree: one declaration per option feeds YAML files, `key.path=value` overrides,
// --help, --print-config, docs/config.md and configs/reference.yaml.
//
// A component owns a plain options struct with defaults as member initialisers and one member
// function
//     void declare(OptionGroup& group);       // group.number("learning_rate", &learning_rate,
//     {...}, "help")
// A program adds such structs to a tree, loads a file, applies overrides and calls finish(): errors
// of all sources are collected and thrown together as one UsageError (exit 2), each with file:line
// or the word it came from, and for an unknown key the nearest valid name. Only this room sees
// yaml-cpp. Not thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "littlebit/config/option_group.h"

namespace littlebit {

// kPreset: set_default() gave it, not the user.
enum class Origin { kDefault, kPreset, kFile, kCommandLine };

class OptionTree;
struct OptionNode;

class OptionTree {
 public:
  OptionTree();
  ~OptionTree();

  // Adds `options` under `section` ("quant", "optim", ...), or beside the sections where that is
  // "" (values only, no records). Adding twice to one section is fine, one name twice is a bug.
  template <class Options>
  void add(const std::string& section, const std::string& section_help, Options& options) {
    OptionGroup group(section_node(section, section_help));
    options.declare(group);
  }

  void load_yaml(
      const std::filesystem::path& file);  // InputError where it cannot be read or is not YAML
  void load_yaml_text(std::string_view text,
                      std::string name);  // `name` stands for the file in messages
  // "key.path=value"; later words win. A text or a path is taken as it stands there unless all of
  // it is in quotes, lists and records begin with `[` or `{`, other values are YAML without
  // comments.
  void set(std::string_view word);
  // Where neither file nor word gave `key` (no records), it has the value `text` instead of its
  // default; `place` is its origin in words ("recipe best"). After files and words.
  void set_default(std::string_view key, std::string_view text, std::string place);
  void add_error(std::string message);  // a cross-option check of the caller's
  // An error about one option ("optim.beta1", "data.train.0.path"): the message is put behind its
  // key and the place it was set at.
  void add_error_at(std::string_view key, std::string message);
  void finish() const;  // throws one UsageError listing every error found so far

  Origin origin(std::string_view key) const;
  std::string text(std::string_view key) const;  // the value as YAML on one line; no records
  // By the user.
  bool is_set(std::string_view key) const { return origin(key) > Origin::kPreset; }

  // The keys of all options, and of those that decide `what`, in the order of their declaration. A
  // list of records is one option.
  std::vector<std::string> keys() const;
  std::vector<std::string> deciding(Decides what) const;

  std::string to_yaml(bool with_origins) const;  // resolved values; with origins each line ends in
                                                 // "# default|preset|file:line|command line"
  std::string reference_yaml() const;            // every option, its default, its help as comments
  std::string markdown() const;                  // docs/config.md
  std::string help_text() const;  // for --help: key, default, help, wrapped to 100 columns

 private:
  OptionNode* section_node(const std::string& section, const std::string& help);
  const OptionNode& node(std::string_view key) const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace littlebit
