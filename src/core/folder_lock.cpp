// See place.h. The lock file is made empty; words of ours in it claim the folder.
#include "littlebit/core/folder_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "core/file_ops.h"
#include "littlebit/core/error.h"
#include "littlebit/core/read_file.h"

namespace littlebit {
namespace fs = std::filesystem;

namespace {

constexpr const char* kFile = ".lock";
constexpr std::string_view kClaim = "littlebit-native\n";

}  // namespace

FolderLock::FolderLock(const fs::path& folder) : file_(folder / kFile) {
  int error = file_ops::try_open(folder, O_RDONLY | O_DIRECTORY, &folder_);
  if (error == 0) file_ops::lock(folder_, folder);
  while (error == 0) {
    made_ = false;
    error = file_ops::try_open(file_, O_RDWR | O_NOFOLLOW | O_NONBLOCK, &descriptor_);
    if (error == ENOENT) {
      error = file_ops::try_open(file_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, &descriptor_);
      made_ = error == 0;
      if (error == EEXIST) {
        error = 0;
        continue;
      }
    }
    if (error != 0) break;
    struct stat status {};
    if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      close(descriptor_);
      error = EINVAL;
      break;
    }
    try {
      effective_ = file_ops::lock(descriptor_, file_);
    } catch (...) {
      close(folder_);
      throw;
    }
    if (file_ops::is_at(descriptor_, file_)) return;
    close(descriptor_);
  }
  if (folder_ >= 0) close(folder_);
  if (error == ELOOP || error == EINVAL || error == EISDIR) {
    throw OutputError(
        "cannot lock `" + folder.string() + "`: `" + file_.string() + "` is not a plain file",
        "move it away, or give another folder");
  }
  file_ops::output_error("lock", folder, error);
}

FolderLock::~FolderLock() {
  if (made_ && !claimed_) unlink(file_.c_str());
  close(descriptor_);
  close(folder_);
}

void FolderLock::claim() {
  struct stat status {};
  claimed_ = true;
  if (fstat(descriptor_, &status) != 0 || status.st_size > 0) return;  // ours, or another's
  const int error = file_ops::try_write_all(descriptor_, std::as_bytes(std::span(kClaim)), file_);
  if (error != 0) {
    if (ftruncate(descriptor_, 0) != 0) errno = 0;
    file_ops::output_error("write", file_, error);
  }
}

bool FolderLock::is_claimed(const fs::path& folder) {
  std::error_code error;
  const fs::path file = folder / kFile;
  if (!fs::is_regular_file(fs::symlink_status(file, error))) return false;
  if (fs::file_size(file, error) != kClaim.size() || error) return false;
  try {
    return read_file(file, kClaim.size()) == kClaim;
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace littlebit
