// See file_ops.h. EINTR is retried everywhere; what the fault hook returns is treated like errno of
// the call itself.
#include "core/file_ops.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "core/fault_hook.h"
#include "littlebit/core/error.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/core/place.h"
#include "littlebit/core/write_file.h"

namespace littlebit {
namespace {

// Calls `operation` until it is not interrupted; 0 or errno.
template <class Call>
int retry(std::string_view operation, const std::filesystem::path& path, const Call& call) {
  while (true) {
    int error = injected_fault(operation, path);
    if (error == 0 && call() < 0) error = errno;
    if (error != EINTR) return error;
  }
}

std::string hint_for(const std::filesystem::path& path, int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free space on that file system, or write to another one";
    case EFBIG:
      return "raise the file size limit (ulimit -f), or write to another file system";
    case EACCES:
    case EPERM:
    case EROFS:
      return "choose a folder this user may write to";
    case ENAMETOOLONG:
      return "use a shorter name";
    case ENOENT: {
      const std::filesystem::path folder = file_ops::folder_of(path);
      return path_exists(folder) ? "" : "create the folder `" + folder.string() + "` first";
    }
    case ENOTDIR: {
      std::filesystem::path part = path;
      std::error_code ignored;
      while (part.has_relative_path() && !std::filesystem::exists(part, ignored)) {
        part = file_ops::folder_of(part);
      }
      return "`" + part.string() + "` is a file, expected a folder";
    }
    case EISDIR:
      return "`" + path.string() + "` is a folder, expected a file";
    default:
      return "";
  }
}

// A file of that many names beside a foreign one is not looked for.
constexpr int kMaxNames = 100;

bool is_ours(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink == 1 &&
         (status.st_size == 0 || (status.st_mode & S_ISVTX) != 0);
}

[[noreturn]] void refuse_in_the_way(const std::filesystem::path& path,
                                    const std::filesystem::path& in_the_way, const char* is) {
  throw OutputError("cannot write `" + path.string() + "`: `" + in_the_way.string() + "` is " + is,
                    "move it away, or write to another place");
}

}  // namespace

namespace file_ops {

void output_error(std::string_view what, const std::filesystem::path& path, int error) {
  throw OutputError("cannot " + std::string(what) + " `" + path.string() +
                        "`: " + std::generic_category().message(error),
                    hint_for(path, error));
}

int try_open(const std::filesystem::path& path, int flags, int* descriptor, unsigned mode) {
  return retry("open", path,
               [&] { return *descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode); });
}

int try_write_all(int descriptor, std::span<const std::byte> bytes,
                  const std::filesystem::path& path) {
  while (!bytes.empty()) {
    ssize_t written = 0;
    const int error = retry(
        "write", path, [&] { return written = ::write(descriptor, bytes.data(), bytes.size()); });
    if (error != 0) return error;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return 0;
}

int try_fsync(int descriptor, const std::filesystem::path& path) {
  return retry("fsync", path, [&] { return ::fsync(descriptor); });
}

int try_rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  return retry("rename", to, [&] { return ::rename(from.c_str(), to.c_str()); });
}

int try_exchange(const std::filesystem::path& a, const std::filesystem::path& b) {
  return retry("exchange", b, [&] {
    return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  });
}

bool free_bytes(const std::filesystem::path& path, uint64_t* bytes) {
  if (injected_fault("space", path) != 0) {
    *bytes = 0;
    return true;
  }
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path, error);
  *bytes = space.available;
  return !error && space.capacity > 0;
}

void create_folders(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return;
  const int failed = retry("mkdir", path, [&] {
    std::filesystem::create_directories(path, error);
    if (error) errno = error.value();
    return error ? -1 : 0;
  });
  if (failed != 0) output_error("create the folder", path, failed);
}

void fsync_path(const std::filesystem::path& path) {
  int descriptor = -1;
  int error = try_open(path, O_RDONLY, &descriptor);
  if (error != 0) output_error("open", path, error);
  struct stat status {};
  const bool folder = fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
  error = try_fsync(descriptor, path);
  close(descriptor);
  // Some network file systems cannot fsync a folder and say so; their renames are durable by
  // themselves.
  if (error != 0 && !(folder && (error == EINVAL || error == ENOTSUP))) {
    output_error("flush", path, error);
  }
}

bool lock(int descriptor, const std::filesystem::path& path) {
  const int error = retry("lock", path, [&] { return flock(descriptor, LOCK_EX | LOCK_NB); });
  if (error == EWOULDBLOCK) {
    close(descriptor);
    throw BusyError("cannot write `" + path.string() + "`: another process is writing it",
                    "wait for that process to end and start again, or write to another place");
  }
  return error == 0;
}

bool is_at(int descriptor, const std::filesystem::path& path) {
  struct stat opened {
  }, named{};
  return fstat(descriptor, &opened) == 0 && lstat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

int open_unfinished(const std::filesystem::path& path, std::filesystem::path* partial) {
  for (int number = 1; number <= kMaxNames; ++number) {
    *partial = path;
    *partial += number == 1 ? ".partial" : "." + std::to_string(number) + ".partial";
    while (true) {
      int descriptor = -1;
      // A pipe is not waited for.
      int error = try_open(*partial, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, &descriptor,
                           0666 | S_ISVTX);
      std::error_code unknown;
      if (error != 0 && std::filesystem::is_symlink(*partial, unknown)) {
        refuse_in_the_way(path, *partial, "a link");
      }
      if (error != 0) output_error("create", *partial, error);
      lock(descriptor, *partial);
      if (!is_at(descriptor, *partial)) {
        close(descriptor);
        continue;
      }
      if (is_ours(descriptor)) {
        error = ftruncate(descriptor, 0) == 0 ? 0 : errno;  // what a killed writer left
        if (error == 0) return descriptor;
        close(descriptor);
        output_error("empty", *partial, error);
      }
      const bool special = std::filesystem::is_other(*partial, unknown);
      close(descriptor);
      if (special) refuse_in_the_way(path, *partial, "a device or pipe");
      break;
    }
  }
  refuse_in_the_way(path, *partial, "not made by this program, like the ones tried before");
}

void mark_finished(int descriptor, const std::filesystem::path& partial) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0 || (status.st_mode & S_ISVTX) == 0) return;
  if (fchmod(descriptor, status.st_mode & 0777) != 0) output_error("finish", partial, errno);
}

std::filesystem::path replaceable(const std::filesystem::path& path) {
  const auto refuse = [&](const char* is) {
    throw OutputError("cannot write `" + path.string() + "`: it is " + is,
                      "give a path that may be replaced, such as ./results");
  };
  constexpr int kMaxLinks = 40;  // what Linux follows
  std::filesystem::path end = path;
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(end, error); ++links) {
    if (links == kMaxLinks) output_error("write", path, ELOOP);
    struct statfs system {};
    if (statfs(folder_of(end).c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) {
      refuse("an open file of a process, not a path of its own");
    }
    const std::filesystem::path next = std::filesystem::read_symlink(end, error);
    if (error) output_error("write", path, error.value());
    end = folder_of(end) / next;
    if (!end.has_filename()) end = end.parent_path();  // "folder/"
  }
  if (std::filesystem::is_other(end, error)) refuse("a device or pipe");
  if (std::filesystem::equivalent(end, "/", error)) refuse("the root folder");
  return end;
}

std::filesystem::path without_trailing_slash(const std::filesystem::path& path) {
  const std::filesystem::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

}  // namespace file_ops
}  // namespace littlebit
