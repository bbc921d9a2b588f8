// Nothing that a command reads is written over by what it writes.
#pragma once

#include <filesystem>
#include <vector>

namespace littlebit {

// A path and the option that it was given by.
struct NamedPath {
  const char* option;
  std::filesystem::path path;
};

// UsageError naming the option whose path is empty.
void require_paths(const std::vector<NamedPath>& paths);

// Nothing that is read may be written over, whatever links it is named by. UsageError where an
// output is an input or another output, stands in the folder of the model as a file that is neither
// a results.json nor jsonl, or would be read as one of its tensor files. Empty paths are left out.
void check_outputs(const std::filesystem::path& model, const std::vector<NamedPath>& inputs,
                   const std::vector<NamedPath>& outputs);

}  // namespace littlebit
