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
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

// kPreset: set_default() gave it, not the user.
enum class Origin { kDefault, kPreset, kFile, kCommandLine };

// What the value of an option decides. One that says nothing decides nothing: a run may go on under
// another value of it.
enum class Decides {
  kStart,          // the initial factors, with the weights, ranks and paths of the layers
  kRun,            // the numbers of a run: a resume under another value is refused
  kRunChangeable,  // the same, but the value may be changed on purpose where a run goes on
  kRunResolved,    // the numbers of a run by what the program makes of it (a file's content, steps
                   // from epochs): the program compares that, not the option's text
};

struct IntegerRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};
struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool min_open = false;  // true: the value must be greater than min
};

class OptionTree;
struct OptionNode;

// Declares the options of one component. The pointers must outlive the tree; their values at
// declaration are the defaults. `help` is one or two sentences without a final newline. What the
// records of a list decide is said of the list.
class OptionGroup {
 public:
  void flag(std::string name, bool* value, std::string help, std::set<Decides> decides = {});
  void integer(std::string name, int64_t* value, IntegerRange range, std::string help,
               std::set<Decides> decides = {});
  void number(std::string name, double* value, NumberRange range, std::string help,
              std::set<Decides> decides = {});
  void text(std::string name, std::string* value, std::string help, std::set<Decides> decides = {});
  void path(std::string name, std::filesystem::path* value, std::string help,
            std::set<Decides> decides = {});
  void texts(std::string name, std::vector<std::string>* values, std::string help,
             std::set<Decides> decides = {});  // list of strings
  // One of `choices`, stored as the index into them (see the enum overload) or as it is.
  void choice(std::string name, int* index, std::vector<std::string> choices, std::string help,
              std::set<Decides> decides = {});
  void choice(std::string name, std::string* value, std::vector<std::string> choices,
              std::string help, std::set<Decides> decides = {});

  // An enum class whose values are those of `choices`, in their order, from `first` on.
  template <class Enum>
  void choice(std::string name, Enum* value, std::vector<std::string> choices, std::string help,
              std::set<Decides> decides = {}, Enum first = Enum()) {
    const int from = static_cast<int>(first);
    add_choice(
        std::move(name), [value, from] { return static_cast<int>(*value) - from; },
        [value, from](int index) { *value = static_cast<Enum>(index + from); }, std::move(choices),
        std::move(help), std::move(decides));
  }

  // A list of records, each of type Record with its own declare(OptionGroup&). A file or command
  // line gives the whole list; a single record or (where `main_key` names one of its options) a
  // bare string stands for a list of one. Every record must set its main_key. `name.0.key=value`
  // changes one record, or adds one at the end.
  template <class Record>
  void records(std::string name, std::vector<Record>* values, std::string main_key,
               std::string help, std::set<Decides> decides = {}) {
    add_records(
        std::move(name), std::move(main_key), std::move(help), [values] { return values->size(); },
        [values](size_t size) { values->resize(size); },
        [values](size_t i, OptionGroup& group) { (*values)[i].declare(group); },
        [](OptionGroup& group) { Record().declare(group); }, std::move(decides));
  }

 private:
  friend class OptionTree;
  friend void resize_records(OptionNode& records, size_t count);
  explicit OptionGroup(OptionNode* node) : node_(node) {}
  void add_choice(std::string name, std::function<int()> get, std::function<void(int)> set,
                  std::vector<std::string> choices, std::string help, std::set<Decides> decides);
  // `describe` declares the options of one record, `describe_new` those of a passing one: only
  // their names and defaults are kept.
  void add_records(std::string name, std::string main_key, std::string help,
                   std::function<size_t()> size, std::function<void(size_t)> resize,
                   std::function<void(size_t, OptionGroup&)> describe,
                   const std::function<void(OptionGroup&)>& describe_new,
                   std::set<Decides> decides);
  OptionNode* node_;
};

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
