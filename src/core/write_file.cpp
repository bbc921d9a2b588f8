// Writing: files and folders that appear whole or not at all, and files that grow by whole lines.
#include "littlebit/core/write_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "core/file_ops.h"
#include "core/mapped_ranges.h"
#include "littlebit/core/error.h"
#include "littlebit/core/kill_point.h"
#include "littlebit/core/scratch_folder.h"

namespace littlebit {
namespace fs = std::filesystem;
using file_ops::output_error;

namespace {

template <class Iterator>
std::vector<fs::path> paths_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  Iterator entry(folder, error);
  for (; !error && entry != Iterator(); entry.increment(error)) paths.push_back(entry->path());
  if (error) output_error("list the folder", folder, error.value());
  return paths;
}

// What a scratch folder `<path>.partial` holds: the folder that is being made (or one that is
// nobody's any more), and the older one of that name while it is moved aside.
constexpr const char *kNew = "new", *kOld = "old";

fs::path partial_of(const fs::path& path) {
  fs::path partial = path;
  return partial += ".partial";
}

void remove_everything(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);  // follows no link
  if (error) output_error("remove", path, error.value());
}

// The scratch folder of `path`, emptied. An older folder that a killed process had moved aside
// comes back first.
std::unique_ptr<ScratchFolder> take_scratch(const fs::path& path) {
  auto scratch = std::make_unique<ScratchFolder>(partial_of(path));
  const fs::path old = scratch->path() / kOld;
  std::error_code error;
  if (fs::exists(fs::symlink_status(old, error)) && !fs::exists(fs::symlink_status(path, error))) {
    const int failed = file_ops::try_rename(old, path);
    if (failed != 0) output_error("bring back", path, failed);
  }
  remove_everything(scratch->path() / kNew);
  remove_everything(old);
  return scratch;
}

}  // namespace

OutputFile::OutputFile(const fs::path& path) : path_(file_ops::replaceable(path)) {
  std::error_code ignored;
  if (fs::is_directory(path_, ignored)) output_error("write", path, EISDIR);
  descriptor_ = file_ops::open_unfinished(path_, &partial_);
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  unlink(partial_.c_str());
  close(descriptor_);
}

void OutputFile::write(std::span<const std::byte> bytes) {
  LB_ASSERT(descriptor_ >= 0, "write after commit");
  const int error = file_ops::try_write_all(descriptor_, bytes, partial_);
  if (error == EFAULT) mapped_ranges::throw_if_lost(bytes);
  if (error != 0) output_error("write", partial_, error);
  position_ += bytes.size();
}

void OutputFile::commit() {
  LB_ASSERT(descriptor_ >= 0, "commit called twice");
  file_ops::mark_finished(descriptor_, partial_);
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
    : path_(file_ops::replaceable(file_ops::without_trailing_slash(path))) {
  std::error_code error;
  if (fs::exists(path_, error) && !fs::is_directory(path_, error)) {
    throw OutputError("cannot write the folder `" + path_.string() + "`: a file has that name",
                      "remove the file, or write to another folder");
  }
  scratch_ = take_scratch(path_);
  staging_ = scratch_->path() / kNew;
  try {
    file_ops::create_folders(staging_);
  } catch (...) {
    scratch_->remove();
    throw;
  }
}

OutputFolder::~OutputFolder() {
  if (!committed_) scratch_->remove();
}

void OutputFolder::commit() {
  LB_ASSERT(!committed_, "commit called twice");
  std::error_code ignored;
  for (const fs::path& entry : paths_in<fs::recursive_directory_iterator>(staging_)) {
    if (!fs::is_symlink(entry, ignored)) file_ops::fsync_path(entry);
  }
  file_ops::fsync_path(staging_);
  kill_point("before_rename");

  const fs::path parent = file_ops::folder_of(path_), old = scratch_->path() / kOld;
  const bool replaces = fs::exists(path_, ignored);
  int error = 0;
  if (!replaces) {
    error = file_ops::try_rename(staging_, path_);
  } else {
    error = file_ops::try_exchange(staging_, path_);  // the older one is then what is unfinished
    if (error == EINVAL || error == ENOSYS || error == ENOTSUP) {  // a file system without
      error = file_ops::try_rename(path_, old);
      if (error != 0) output_error("move aside", path_, error);
      kill_point("between_renames");
      error = file_ops::try_rename(staging_, path_);
      if (error != 0) {
        fs::rename(old, path_, ignored);
        committed_ =
            static_cast<bool>(ignored);  // it stays where it is: the next start brings it back
      }
    }
  }
  if (error != 0) output_error("publish", path_, error);
  if (replaces) kill_point("between_renames");
  committed_ = replaces;  // the older one stays until the new one's name is on the disk
  file_ops::fsync_path(parent);
  committed_ = true;
  scratch_->remove();  // what stays of it is ours: the next start removes it
}

bool clean_unfinished(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(partial_of(path), error))) return true;
  try {
    return take_scratch(path)->remove();
  } catch (const OutputError&) {  // not ours, or not ours now
    return false;
  }
}

void remove_folder(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(path, error))) return;
  const std::unique_ptr<ScratchFolder> scratch = take_scratch(path);
  const int failed = file_ops::try_rename(path, scratch->path() / kNew);
  if (failed == 0) {
    kill_point("between_renames");
    file_ops::fsync_path(file_ops::folder_of(path));
  }
  const bool gone = scratch->remove();
  if (failed != 0) output_error("remove", path, failed);
  if (!gone) output_error("remove", scratch->path(), ENOTEMPTY);
}

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

void AppendFile::flush() {
  const int error = file_ops::try_fsync(descriptor_, path_);
  // What cannot be flushed (a pipe, a terminal) says so.
  if (error != 0 && error != EINVAL && error != ENOTSUP) output_error("flush", path_, error);
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

void create_lasting_folders(const fs::path& path) {
  std::vector<fs::path> made;  // the innermost first
  fs::path at = file_ops::without_trailing_slash(path);
  std::error_code error;
  for (; at.has_relative_path() && !fs::exists(at, error); at = file_ops::folder_of(at)) {
    made.push_back(at);
    if (!at.has_parent_path()) break;
  }
  create_folders(path);
  for (const fs::path& folder : made) file_ops::fsync_path(file_ops::folder_of(folder));
}

}  // namespace littlebit
