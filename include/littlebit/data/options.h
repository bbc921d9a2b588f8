// Options of the training data: where text comes from and how it becomes blocks of tokens (section
// `data`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace littlebit {

class OptionGroup;

enum class SourceFormat { kAuto, kText, kLines, kWikitext, kJsonl, kParquet, kTokens };
enum class Blocking { kContiguous, kReference };
enum class BadRecord { kFail, kSkip };

struct SourceOptions {
  std::filesystem::path path;  // a file; in data.train also a folder or a glob (source_files)
  SourceFormat format = SourceFormat::kAuto;
  std::string field = "text";  // jsonl, parquet: what holds a document; a.b: in an object
  double weight = 1;           // passes over the source per epoch; a fraction takes its first part
  void declare(OptionGroup& group);
};

struct DataOptions {
  std::vector<SourceOptions> train;
  int64_t sequence_length = 2048;
  Blocking blocking = Blocking::kContiguous;
  bool shuffle = true;
  std::string separator = "auto";  // auto, none, or a text (separator_ids)
  BadRecord on_bad_record = BadRecord::kFail;
  std::filesystem::path cache_dir;  // token files; empty: <output.dir>/cache
  void declare(OptionGroup& group);
};

}  // namespace littlebit
