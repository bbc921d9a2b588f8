// Where the data of a task lies: in DATA_ROOT/<folder>/, else in DATA_ROOT itself.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace littlebit {

struct TaskData {
  std::string task;
  std::string folder;
  std::vector<std::string> names;  // of the file, patterns of fnmatch(3); the first wins
  std::string origin;              // where people get it
};

// The file; of several that fit one name the first in alphabetical order. InputError naming the
// places looked at, or the one line that converts a Parquet file lying there.
std::filesystem::path find_task_file(const TaskData& data, const std::filesystem::path& data_root);

}  // namespace littlebit
