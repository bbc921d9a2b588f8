// The file layer: every byte the project reads from or writes to disk passes through here.
//
// Invariant: a reader never sees half a file. Writers build `<path>.partial` and publish it by
// fsync + rename; a writer destroyed before commit() removes what it built. Two writers of one
// name: the second is refused. Only regular files and folders are replaced, never a device or a
// pipe. A symbolic link is followed: it stays, and what it points to is replaced (or made, where it
// points to nothing yet); a link to a device, or to what a process has open (/dev/stdout), is
// refused as the device is. All functions throw: InputError (exit 3) on reading, OutputError (exit
// 5) on writing. Not thread-safe per object; different objects may be used from different threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace littlebit {

// A whole file, memory-mapped read-only. Move-only; the bytes live as long as the object.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::filesystem::path& path);  // an empty file maps to an empty span
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
};

// Lets go of the memory of whole pages inside `part` of a mapped file; they are read again when
// they are looked at.
void drop_pages(std::span<const std::byte> part);

// The whole file as a string. A file longer than `max_bytes` is refused by name.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = UINT64_MAX);

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
  explicit OutputFolder(
      const std::filesystem::path& path);  // creates `<path>.partial`, emptying a stale one
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  const std::filesystem::path& staging() const { return staging_; }
  void commit();

 private:
  std::filesystem::path path_, staging_;
  bool committed_ = false;
  int lock_ = -1;
};

// A file that grows by whole lines (metrics.jsonl): each append is one write(2), so a reader sees
// whole lines only. An append that fails takes its piece back; behind a torn last line that is
// already there, a new line is begun.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);  // created where it does not exist
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;
  ~AppendFile();
  void append_line(std::string_view line);  // adds the "\n"

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  bool torn_ = false;  // the file ends in the middle of a line
};

// mkdir -p; OutputError where a part of the path is a file or not writable.
void create_folders(const std::filesystem::path& path);

// Test hook: called with a word and the path before every "open" (to write, lock or flush),
// "mkdir", "write", "fsync", "rename" and "exchange" (two folders swap names); not 0: the errno of
// a failed call. One hook a process, nullptr by default. Not thread-safe to change while writing.
using FaultHook = std::function<int(std::string_view operation, const std::filesystem::path& path)>;
void set_fault_hook(FaultHook hook);

}  // namespace littlebit
