// Who has locked a folder. Locks end with the process that holds them; file systems without locks
// are tolerated.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "littlebit/core/error.h"

namespace littlebit {

// What is to be written is being written by another process: waiting may help, so the exit code is
// 75. Thrown by OutputFile and OutputFolder too.
struct BusyError : OutputError {
  explicit BusyError(const std::string& message, std::string hint = "")
      : OutputError(ExitCode::kPeerLost, message, std::move(hint)) {}
};

// A folder for one process at a time, as long as the object lives. BusyError where another has it.
// What is locked is the file `.lock` in it, opened for writing as network file systems want it,
// and, where that can be done, the folder itself. A `.lock` of somebody else's is locked and left
// as it is; a link of that name is refused (OutputError).
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);  // which exists
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  ~FolderLock();  // takes a `.lock` that it made away again, unless claim() was called

  // False where the file system has no locks: then nothing keeps a second process out.
  bool is_effective() const { return effective_; }

  // Makes the folder known as one of ours: `.lock` stays and says so.
  void claim();
  static bool is_claimed(const std::filesystem::path& folder);

 private:
  std::filesystem::path file_;
  int descriptor_ = -1, folder_ = -1;
  bool effective_ = true, made_ = false, claimed_ = false;
};

}  // namespace littlebit
