// Finds a task's file by its folder and name patterns: folders in their order, then patterns in
// theirs, then names in alphabetical order, so that the choice does not depend on the file system.
#include "task_data.h"

#include <fnmatch.h>

#include <algorithm>
#include <optional>
#include <span>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/documents.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// File names of a folder in order; none where it cannot be read.
std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_regular_file(ignored)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> first_fit(const std::vector<std::string>& names,
                                     std::span<const std::string> patterns) {
  for (const std::string& pattern : patterns) {
    for (const std::string& name : names) {
      if (fnmatch(pattern.c_str(), name.c_str(), 0) == 0) return name;
    }
  }
  return std::nullopt;
}

}  // namespace

fs::path find_task_file(const TaskData& data, const fs::path& data_root) {
  const fs::path folders[] = {data_root / data.folder, data_root};
  for (const fs::path& folder : folders) {
    if (const auto name = first_fit(file_names(folder), data.names)) return folder / *name;
  }
  const std::string parquet[] = {"*.parquet"};
  if (const auto name = first_fit(file_names(folders[0]), parquet)) {
    refuse_parquet(folders[0] / *name);
  }
  throw InputError(
      "task " + data.task + ": no file " + join(data.names, " or ") + " in " + folders[0].string() +
          " or " + data_root.string(),
      "set eval.data_root (--data-root) to the folder that holds it; it is " + data.origin);
}

}  // namespace littlebit
