// The system calls that change the disk, with interruption, short writes and injected faults
// handled in one place. Every failure ends in the OutputError of output_error(). Inside core only.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace littlebit::file_ops {

// "cannot <what> `path`: reason", with a hint where the reason is one a person can do something
// about.
[[noreturn]] void output_error(std::string_view what, const std::filesystem::path& path, int error);

// errno of one attempt, 0 where it succeeded. Each asks the fault hook first.
int try_open(const std::filesystem::path& path, int flags, int* descriptor);  // close-on-exec
int try_write_all(int descriptor, std::span<const std::byte> bytes,
                  const std::filesystem::path& path);
int try_fsync(int descriptor, const std::filesystem::path& path);
int try_rename(const std::filesystem::path& from, const std::filesystem::path& to);
int try_exchange(const std::filesystem::path& a, const std::filesystem::path& b);  // both exist

void create_folders(const std::filesystem::path& path);  // mkdir -p
void fsync_path(const std::filesystem::path& path);      // a file, or a folder's list of names

// Opens for writing and locks: two writers of one name never share a partial file.
int open_locked_file(const std::filesystem::path& path);
int open_locked_folder(const std::filesystem::path& path);

// Where writing to `path` ends: the end of its symbolic links, which need not exist; `path` itself
// where it is none. OutputError for what a rename must not replace: a device, a pipe, what a
// process has open (links in /proc: /dev/stdout), the root folder.
std::filesystem::path replaceable(const std::filesystem::path& path);

std::filesystem::path without_trailing_slash(const std::filesystem::path& path);
std::filesystem::path folder_of(const std::filesystem::path& path);  // "." for a bare name

}  // namespace littlebit::file_ops
