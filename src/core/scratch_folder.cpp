// See scratch_folder.h. The mark is also what is locked: a file, for network file systems lock only
// what is open for writing. The folder itself is locked too, as programs of before did.
#include "littlebit/core/scratch_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/file_ops.h"
#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"

namespace littlebit {
namespace fs = std::filesystem;

namespace {

constexpr const char* kMark = ".littlebit";

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw OutputError("cannot write into `" + path.string() + "`: it is " + why,
                    "move it away, or write to another place");
}

// Whether there is anything in it but folders.
bool holds_files(const fs::path& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unknown;
    if (!fs::is_directory(entry->symlink_status(unknown))) return true;
  }
  return static_cast<bool>(error);  // what cannot be looked at
}

bool has_mark(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(fs::symlink_status(folder / kMark, error));
}

}  // namespace

bool ScratchFolder::is_ours(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(fs::symlink_status(path, error)) && has_mark(path);
}

ScratchFolder::ScratchFolder(const fs::path& path) : path_(path) {
  const fs::path mark = path / kMark;
  while (true) {
    std::error_code error;
    const fs::file_status status = fs::symlink_status(path, error);
    if (fs::is_symlink(status)) refuse(path, "a link");
    if (fs::exists(status) && !fs::is_directory(status))
      refuse(path, "not a folder of this program");
    file_ops::create_folders(path);
    int folder = -1, opened = -1;
    int failed = file_ops::try_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, &folder);
    if (failed == ENOENT) continue;  // another process was done with it just now
    if (failed == 0) {
      file_ops::lock(folder, path);
      if (!has_mark(path) && holds_files(path)) {
        close(folder);
        refuse(path, "a folder that this program did not make");
      }
      failed = file_ops::try_open(mark, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, &opened);
    }
    if (failed != 0) {
      if (folder >= 0) close(folder);
      if (failed == ENOENT) continue;
      rmdir(path.c_str());  // goes where it is empty
      file_ops::output_error("create", mark, failed);
    }
    try {
      file_ops::lock(opened, mark);
    } catch (...) {
      close(folder);
      throw;
    }
    if (file_ops::is_at(folder, path) && file_ops::is_at(opened, mark)) {
      folder_ = folder;
      mark_ = opened;
      return;
    }
    close(opened);
    close(folder);
  }
}

ScratchFolder::~ScratchFolder() {
  close(mark_);
  close(folder_);
}

bool ScratchFolder::remove() noexcept {
  std::error_code error;
  if (!file_ops::is_at(folder_, path_)) return true;
  bool all = true;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().filename() == kMark) continue;
    std::error_code failed;
    fs::remove_all(entry->path(), failed);  // follows no link
    all = all && !failed;
  }
  if (error || !all) return false;
  fs::remove(path_ / kMark, error);
  return rmdir(path_.c_str()) == 0;
}

}  // namespace littlebit
