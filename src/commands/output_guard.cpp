// Two paths are compared by where they lead, not by how they are spelled.
#include "output_guard.h"

#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/io/json.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// Either itself or the unfinished file it grows in is the other.
bool writes_over(const fs::path& output, const fs::path& other) {
  fs::path partial = output;
  return same_place(output, other) || same_place(partial += ".partial", other);
}

bool is_results(const fs::path& file) {
  if (file.extension() == ".jsonl") return true;
  if (file.extension() != ".json") return false;
  try {
    const Json json = read_json_file(file);
    return json.is_object() && json.contains("tasks") && json.contains("model");
  } catch (const InputError&) {
    return false;
  }
}

// Whether `output` would be written over a file of the model, or be read as one of its tensor
// files.
bool spoils(const fs::path& output, const fs::path& folder) {
  std::error_code error;
  const fs::path parent = output.has_parent_path() ? output.parent_path() : fs::path(".");
  if (output.extension() == ".safetensors" && same_place(parent, folder)) return true;
  if (!fs::is_regular_file(output, error)) return false;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (fs::equivalent(entry->path(), output, error)) return !is_results(output);
    error.clear();
  }
  return false;
}

}  // namespace

void require_paths(const std::vector<NamedPath>& paths) {
  for (const NamedPath& each : paths) {
    if (!each.path.empty()) continue;
    throw UsageError(std::string(each.option) + " was given an empty path", "give a path");
  }
}

void check_outputs(const fs::path& model, const std::vector<NamedPath>& inputs,
                   const std::vector<NamedPath>& outputs) {
  const char* const hint = "write to another file";
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& [option, path] = outputs[i];
    if (path.empty()) continue;
    const std::string what = std::string(option) + " " + path.string();
    for (const NamedPath& input : inputs) {
      if (input.path.empty() || !writes_over(path, input.path)) continue;
      throw UsageError(what + " would overwrite what " + input.option + " reads", hint);
    }
    for (size_t k = 0; k < i; ++k) {
      const NamedPath& other = outputs[k];
      if (other.path.empty()) continue;
      if (!writes_over(path, other.path) && !writes_over(other.path, path)) continue;
      throw UsageError(what + " is the file of " + other.option + " too", hint);
    }
    if (!spoils(path, model)) continue;
    throw UsageError(what + " would overwrite files of the model in " + model.string(),
                     "write to another folder");
  }
}

}  // namespace littlebit
