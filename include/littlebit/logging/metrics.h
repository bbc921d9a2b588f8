// metrics.jsonl: one JSON object a line, a line per logged step.
//
// Invariant: a reader sees whole lines. After a crash the last line may be torn; truncate_after()
// mends that.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "littlebit/core/write_file.h"

namespace littlebit {

// Appends to a file, which is created where it does not exist. Errors: OutputError as AppendFile.
// Not thread-safe.
class MetricsFile {
 public:
  explicit MetricsFile(const std::filesystem::path& path) : file_(path) {}

  void append(
      const nlohmann::json& record);  // an object; on disk (but not flushed) when this returns

  void flush() { file_.flush(); }  // all lines are on disk when this returns

  // Takes out, in one atomic replacement, the lines whose `step` is greater than the given one, and
  // those that are no JSON (torn by a crash; with a warning). Other lines stay byte for byte. Where
  // there is no file, nothing happens.
  static void truncate_after(const std::filesystem::path& path, int64_t step);

 private:
  AppendFile file_;
};

}  // namespace littlebit
