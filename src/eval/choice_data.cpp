// Where a multiple-choice task's data and its examples lie.
#include "littlebit/eval/choice_data.h"

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/home.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/choice_task.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// A file by its name, or by the split whose name it bears in the folder of its task.
struct Wanted {
  fs::path file;
  std::string split;  // may be empty
};

// The same data in every form that is read: NAME and NAME.gz, STEM.jsonl, ...
std::vector<std::string> names_of(const fs::path& name) {
  std::vector<std::string> names = {name.string()};
  const auto add = [&](const std::string& other) {
    if (std::find(names.begin(), names.end(), other) == names.end()) names.push_back(other);
  };
  for (const char* packed : {".gz", ".zst"}) add(name.string() + packed);
  const std::string stem = name.stem().string();
  for (const char* form : {".jsonl", ".json"}) {
    for (const char* packed : {"", ".gz", ".zst"}) add(stem + form + packed);
  }
  add(stem + ".parquet");
  return names;
}

// As a data set's folder on the Hub names the one file of a split.
std::vector<std::string> names_of_split(const std::string& split) {
  std::vector<std::string> names = names_of(split + ".jsonl");
  names.push_back(split + "-00000-of-00001.parquet");
  names.push_back(split + "/0000.parquet");
  return names;
}

fs::path first_there(const fs::path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (path_exists(folder / name)) return folder / name;
  }
  return {};
}

// Parquet files in the task's folder that no name fits.
std::string parquet_beside(const fs::path& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".parquet") found.push_back(it->path().string());
  }
  return found.empty() ? "" : *std::min_element(found.begin(), found.end());
}

fs::path find_data(const ChoiceTask& task, const Wanted& wanted, const std::string& what,
                   const fs::path& data_root) {
  const fs::path file = expand_home(wanted.file);
  std::vector<fs::path> folders = {data_root / task.name, data_root};
  if (!task.origin.empty()) folders.push_back(task.origin.parent_path());
  if (file.is_absolute()) folders = {file.parent_path()};
  std::vector<std::string> places;
  for (size_t i = 0; i < folders.size(); ++i) {
    // A file's own folder may stand in its name.
    const fs::path folder = file.is_absolute() ? folders[i] : folders[i] / file.parent_path();
    places.push_back((folder / file.filename()).string());
    fs::path found = first_there(folder, names_of(file.filename()));
    const bool own_folder = i == 0 && !file.is_absolute() && !wanted.split.empty();
    if (found.empty() && own_folder) found = first_there(folder, names_of_split(wanted.split));
    if (!found.empty()) return found;
  }
  const std::string other = parquet_beside(data_root / task.name);
  std::string hint = "set eval.data_root (--data-root) to the folder that holds it";
  if (!task.hub.empty()) {
    hint += "; the data is on the Hugging Face Hub: " + task.hub +
            ", as .jsonl with its fields, .json or .parquet (also .gz, .zst)";
  }
  if (!wanted.split.empty() && task.hub.find("split " + wanted.split) == std::string::npos) {
    hint += "; the split is " + wanted.split;
  }
  if (!other.empty()) {
    hint += "; " + other + " is there: if this is the file, rename it to " + file.stem().string() +
            ".parquet";
  }
  throw InputError(
      "task " + task.name + ": " + what + " missing: looked for " + join(places, " and "), hint);
}

}  // namespace

fs::path find_choice_data(const ChoiceTask& task, const fs::path& data_root) {
  return find_data(task, {task.file, task.split}, "its data is", data_root);
}

fs::path find_example_data(const ChoiceTask& task, const fs::path& data_root) {
  const ExampleRules& rules = task.examples;
  if (rules.file.empty() && rules.split.empty()) return find_choice_data(task, data_root);
  const fs::path stem = fs::path(task.file).replace_extension();
  return find_data(task,
                   {rules.file.empty() ? fs::path(stem.string() + "_" + rules.split + ".jsonl")
                                       : fs::path(rules.file),
                    rules.split},
                   "the file of its examples is", data_root);
}

}  // namespace littlebit
