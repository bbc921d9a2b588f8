// Options of the training data: where text comes from and how it becomes blocks of tokens (section
// `data`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace littlebit {

class OptionGroup;

enum class SourceFormat { kAuto, kText, kLines, kWikitext, kJsonl, kTokens };
enum class Blocking { kContiguous, kReference };

struct SourceOptions {
  std::filesystem::path path;
  SourceFormat format = SourceFormat::kAuto;
  std::string field = "text";  // jsonl: the key that holds a document
  double weight = 1;           // passes over the source per epoch; a fraction takes its first part
  void declare(OptionGroup& group);
};

struct DataOptions {
  std::vector<SourceOptions> train;
  int64_t sequence_length = 2048;
  Blocking blocking = Blocking::kContiguous;
  bool shuffle = true;
  std::filesystem::path cache_dir;  // token files; empty: <output.dir>/cache
  void declare(OptionGroup& group);
};

}  // namespace littlebit
