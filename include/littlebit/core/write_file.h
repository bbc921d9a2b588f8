// Files as they are written: every byte that the project writes to disk passes through here.
//
// Invariant: a reader never sees half a file. Writers build `<path>.partial` and publish it by
// fsync + rename; a writer destroyed before commit() removes what it built, and what a killed one
// left is recognised by a mark and taken over by the next. Whatever has that name and is not ours
// is never followed, emptied or removed. Two writers of one name: the second is refused. Only
// regular files and folders are replaced, never a device or a pipe. A symbolic link is followed: it
// stays, and what it points to is replaced (or made, where it points to nothing yet); a link to a
// device, or to what a process has open (/dev/stdout), is refused as the device is. All functions
// throw OutputError (exit 5). Not thread-safe per object; different objects may be used from
// different threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "littlebit/core/scratch_folder.h"

namespace littlebit {

// A new file that appears under its name only when commit() returns.
class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path);  // parent folders must exist
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile();  // not committed: the partial file is removed

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  uint64_t position() const { return position_; }  // bytes written so far
  void commit();  // flush, fsync, rename over `path`, fsync the folder

 private:
  std::filesystem::path path_, partial_;
  int descriptor_ = -1;
  uint64_t position_ = 0;
};

// write + commit in one call.
void write_file(const std::filesystem::path& path, std::string_view text);

// A folder that appears under its name only when commit() returns. Files are written into
// staging(). An older folder of that name is replaced (moved aside, then removed) by commit(),
// untouched before.
class OutputFolder {
 public:
  // Makes `<path>.partial`, or takes over a stale one of ours (ScratchFolder).
  explicit OutputFolder(const std::filesystem::path& path);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& staging() const { return staging_; }
  void commit();

 private:
  std::filesystem::path path_, staging_;
  std::unique_ptr<ScratchFolder>
      scratch_;  // <path>.partial, which staging() and an older one are in
  bool committed_ = false;
};

// Clears away what a killed OutputFolder of `path` left, unless another process is about it: an
// older folder that was moved aside comes back. False where something else has the name
// `<path>.partial`; that stays.
bool clean_unfinished(const std::filesystem::path& path);

// Removes a folder (of a link: the link), first out of its name in one step, so that nobody ever
// takes a part of it for the whole. OutputError.
void remove_folder(const std::filesystem::path& path);

// A file that grows by whole lines (metrics.jsonl): each append is one write(2), so a reader sees
// whole lines only. A failed append is rolled back; behind a torn last line that is
// already there, a new line is begun.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);  // created where it does not exist
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();
  void append_line(std::string_view line);  // adds the "\n"
  void flush();                             // what was appended is on disk when this returns

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  bool torn_ = false;  // the file ends in the middle of a line
};

// mkdir -p; OutputError where a part of the path is a file or not writable.
void create_folders(const std::filesystem::path& path);
// The same, with the names of new folders flushed to the disk.
void create_lasting_folders(const std::filesystem::path& path);

}  // namespace littlebit
