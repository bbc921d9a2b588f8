// Writing: files and folders that appear whole or not at all, and files that grow by whole lines.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file_ops.h"
#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/core/place.h"

namespace littlebit {
namespace fs = std::filesystem;
using file_ops::output_error;

namespace {

fs::path with_suffix(const fs::path& path, const char* suffix) {
  fs::path result = path;
  result += suffix;
  return result;
}

void remove_everything(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) output_error("remove", path, error.value());
}

template <class Iterator>
std::vector<fs::path> paths_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  Iterator entry(folder, error);
  for (; !error && entry != Iterator(); entry.increment(error)) paths.push_back(entry->path());
  if (error) output_error("list the folder", folder, error.value());
  return paths;
}

}  // namespace

OutputFile::OutputFile(const fs::path& path)
    : path_(file_ops::replaceable(path)), partial_(with_suffix(path_, ".partial")) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) output_error("write", path, EISDIR);
  descriptor_ = file_ops::open_locked_file(partial_);
  if (ftruncate(descriptor_, 0) != 0) {  // what a killed writer left
    const int error = errno;
    close(std::exchange(descriptor_, -1));
    output_error("empty", partial_, error);
  }
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  unlink(partial_.c_str());
  close(descriptor_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  LB_ASSERT(descriptor_ >= 0, "write after commit");
  const int error = file_ops::try_write_all(descriptor_, bytes, partial_);
  if (error != 0) output_error("write", partial_, error);
  position_ += bytes.size();
}

void OutputFile::commit() {
  LB_ASSERT(descriptor_ >= 0, "commit called twice");
  int error = file_ops::try_fsync(descriptor_, partial_);
  if (error != 0) output_error("flush", partial_, error);
  error = file_ops::try_rename(partial_, path_);
  if (error != 0) output_error("publish", path_, error);
  error = close(std::exchange(descriptor_, -1)) == 0 ? 0 : errno;
  if (error != 0 && error != EINTR) output_error("close", path_, error);
  file_ops::fsync_path(file_ops::folder_of(path_));
}

void write_file(const fs::path& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

OutputFolder::OutputFolder(const fs::path& path)
    : path_(file_ops::replaceable(file_ops::without_trailing_slash(path))),
      staging_(with_suffix(path_, ".partial")) {
  std::error_code error;
  if (fs::exists(path_, error) && !fs::is_directory(path_, error)) {
    throw OutputError("cannot write the folder `" + path_.string() + "`: a file has that name",
                      "remove the file, or write to another folder");
  }
  create_folders(staging_);
  try {
    lock_ = file_ops::open_locked_folder(staging_);
  } catch (const BusyError&) {
    throw;  // it is the other's
  } catch (const OutputError&) {
    fs::remove(staging_, error);  // goes where it is empty
    throw;
  }
  try {
    for (const fs::path& stale : paths_in<fs::directory_iterator>(staging_))
      remove_everything(stale);
  } catch (...) {
    close(lock_);
    throw;
  }
}

OutputFolder::~OutputFolder() {
  if (!committed_) {
    std::error_code ignored;
    fs::remove_all(staging_, ignored);
  }
  close(lock_);
}

void OutputFolder::commit() {
  LB_ASSERT(!committed_, "commit called twice");
  std::error_code ignored;
  for (const fs::path& entry : paths_in<fs::recursive_directory_iterator>(staging_)) {
    if (!fs::is_symlink(entry, ignored)) file_ops::fsync_path(entry);
  }
  file_ops::fsync_path(staging_);

  const fs::path parent = file_ops::folder_of(path_);
  if (!fs::exists(path_, ignored)) {
    const int error = file_ops::try_rename(staging_, path_);
    if (error != 0) output_error("publish", path_, error);
    committed_ = true;
    file_ops::fsync_path(parent);
    return;
  }
  fs::path old = staging_;  // where the exchange leaves the older folder
  int error = file_ops::try_exchange(staging_, path_);
  if (error == EINVAL || error == ENOSYS || error == ENOTSUP) {  // a file system without exchange
    old = with_suffix(path_, ".old");
    remove_everything(old);
    error = file_ops::try_rename(path_, old);
    if (error != 0) output_error("move aside", path_, error);
    error = file_ops::try_rename(staging_, path_);
    if (error != 0) fs::rename(old, path_, ignored);
  }
  if (error != 0) output_error("publish", path_, error);
  committed_ = true;
  file_ops::fsync_path(parent);
  remove_everything(old);
}

FolderLock::FolderLock(const fs::path& folder)
    : descriptor_(file_ops::open_locked_folder(folder)) {}

FolderLock::~FolderLock() { close(descriptor_); }

AppendFile::AppendFile(const fs::path& path) : path_(path) {
  const int error = file_ops::try_open(path, O_RDWR | O_CREAT | O_APPEND, &descriptor_);
  if (error != 0) output_error("open", path, error);
  struct stat status {};
  char last = '\n';
  if (fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
      pread(descriptor_, &last, 1, status.st_size - 1) == 1) {
    torn_ = last != '\n';
  }
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

void AppendFile::append_line(std::string_view line) {
  std::string text;
  text.reserve(line.size() + 2);
  if (torn_) text += '\n';
  text.append(line).append("\n");
  struct stat before {};
  const bool known = fstat(descriptor_, &before) == 0 && S_ISREG(before.st_mode);
  const int error = file_ops::try_write_all(descriptor_, std::as_bytes(std::span(text)), path_);
  if (error != 0) {
    // Takes back a torn piece of the line; if that fails too, the next append starts a new line.
    torn_ = !known || ftruncate(descriptor_, before.st_size) != 0;
    output_error("append to", path_, error);
  }
  torn_ = false;
}

void create_folders(const fs::path& path) {
  file_ops::create_folders(file_ops::without_trailing_slash(path));
}

}  // namespace littlebit
