// How a component declares its options, for an OptionTree (option_tree.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace littlebit {

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

}  // namespace littlebit
