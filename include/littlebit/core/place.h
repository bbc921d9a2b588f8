// Places on disk that several processes may want: whether something is there, and who has it.
// Locks end with the process that holds them; file systems without locks are tolerated.
#pragma once

#include <filesystem>

#include "littlebit/core/error.h"

namespace littlebit {

// What is to be written is being written by another process: waiting may help. Thrown by OutputFile
// and OutputFolder too.
struct BusyError : OutputError {
  using OutputError::OutputError;
};

// A folder for one process at a time, as long as the object lives. BusyError where another has it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);  // which exists
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();

 private:
  int descriptor_;
};

// Whether something is there. False, unlike std::filesystem's form that throws, for what cannot
// even be asked for: a name too long, a loop of links, a folder that may not be searched.
bool path_exists(const std::filesystem::path& path) noexcept;

}  // namespace littlebit
