// The system calls that change the disk, with interruption, short writes and injected faults
// handled in one place. Every failure ends in the OutputError of output_error(). Inside core only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace littlebit::file_ops {

// "cannot <what> `path`: reason", with a hint where the reason is one a person can do something
// about.
[[noreturn]] void output_error(std::string_view what, const std::filesystem::path& path, int error);

// errno of one attempt, 0 where it succeeded. Each asks the fault hook first.
int try_open(const std::filesystem::path& path, int flags, int* descriptor,
             unsigned mode = 0666);  // close-on-exec
int try_write_all(int descriptor, std::span<const std::byte> bytes,
                  const std::filesystem::path& path);
int try_fsync(int descriptor, const std::filesystem::path& path);
int try_rename(const std::filesystem::path& from, const std::filesystem::path& to);
int try_exchange(const std::filesystem::path& a, const std::filesystem::path& b);  // both exist

// What this user may still write where `path` is; the hook's "space" is a full disk. False where
// that is not known.
bool free_bytes(const std::filesystem::path& path, uint64_t* bytes);

void create_folders(const std::filesystem::path& path);  // mkdir -p
void fsync_path(const std::filesystem::path& path);      // a file, or a folder's list of names

// Locks what is open; the lock ends with the open file. BusyError, with the descriptor closed,
// where another process has it; false where the file system has no locks.
bool lock(int descriptor, const std::filesystem::path& path);

// Whether `path` (itself, no link followed) is still the name of what is open: it may have been
// published or removed before the lock was got.
bool is_at(int descriptor, const std::filesystem::path& path);

// Opens for writing and locks the unfinished file of `path`, emptied: `<path>.partial`, or
// `<path>.2.partial` and so on where a file that is not ours has the name; its name goes to
// *partial. Ours has the sticky bit, which means nothing else on a file, or nothing in it.
int open_unfinished(const std::filesystem::path& path, std::filesystem::path* partial);

// Takes the sticky bit away from a file that is finished.
void mark_finished(int descriptor, const std::filesystem::path& partial);

// Where writing to `path` ends: the end of its symbolic links, which need not exist; `path` itself
// where it is none. OutputError for what a rename must not replace: a device, a pipe, what a
// process has open (links in /proc: /dev/stdout), the root folder.
std::filesystem::path replaceable(const std::filesystem::path& path);

std::filesystem::path without_trailing_slash(const std::filesystem::path& path);
std::filesystem::path folder_of(const std::filesystem::path& path);  // "." for a bare name

}  // namespace littlebit::file_ops
