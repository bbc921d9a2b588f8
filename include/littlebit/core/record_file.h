// A new file that grows by whole records of bytes (TensorBoard events).
//
// Invariant: each append is one write(2); a failed one is rolled back. OutputError on failure. Not
// thread-safe.
#pragma once

#include <filesystem>
#include <string_view>

namespace littlebit {

class RecordFile {
 public:
  explicit RecordFile(const std::filesystem::path& path);  // the parent exists, the file does not
  RecordFile(const RecordFile&) = delete;
  RecordFile& operator=(const RecordFile&) = delete;
  ~RecordFile();
  void append(std::string_view bytes);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace littlebit
