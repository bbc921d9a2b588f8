// Reading: mapped and whole files. What cannot be read is named, with the nearest thing that
// exists.
#include "littlebit/core/read_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/file_ops.h"
#include "core/mapped_ranges.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

// A pipe or device has no size to check beforehand; this bounds what is taken from one.
constexpr uint64_t kMaxStreamBytes = 1ull << 30;
constexpr std::chrono::milliseconds kPipePatience(3000);

std::string hint_for_missing(const std::filesystem::path& path) {
  const std::filesystem::path folder = file_ops::folder_of(path);
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    return "the folder `" + folder.string() + "` does not exist";
  }
  if (std::filesystem::is_symlink(path, error)) {
    return "it is a link to `" + std::filesystem::read_symlink(path, error).string() +
           "`, which does not exist";
  }
  std::vector<std::string> names;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator() && names.size() < 1000;
       entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  const auto nearest = nearest_name(path.filename().string(), names);
  return nearest ? "did you mean `" + (folder / *nearest).string() + "`?" : "check the path";
}

[[noreturn]] void input_error(const std::filesystem::path& path, int error) {
  throw InputError("cannot read `" + path.string() + "`: " + std::generic_category().message(error),
                   error == ENOENT || error == ENOTDIR ? hint_for_missing(path) : "");
}

// The next bytes of a file or pipe, 0 at its end. A pipe ends, too, where nobody has it open for
// writing; one that nobody has opened yet is given some time (`patience`).
ssize_t read_some(int descriptor, std::span<char> out, std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kPause(50);
  while (true) {
    const ssize_t got = read(descriptor, out.data(), out.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) {  // a writer is there and takes its time
      pollfd ready{.fd = descriptor, .events = POLLIN, .revents = 0};
      poll(&ready, 1, -1);
      continue;
    }
    if (got != 0 || patience.count() <= 0) return got;
    std::this_thread::sleep_for(kPause);
    patience -= kPause;
  }
}

// Closes the descriptor at the end of a scope.
struct Descriptor {
  int value;
  ~Descriptor() { close(value); }
};

int open_to_read(const std::filesystem::path& path, struct stat* status) {
  int descriptor = -1;
  do {
    // Without O_NONBLOCK a pipe that nobody writes to would be waited for without end.
    descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) input_error(path, errno);
  if (fstat(descriptor, status) != 0) {
    const int error = errno;
    close(descriptor);
    input_error(path, error);
  }
  if (S_ISDIR(status->st_mode)) {
    close(descriptor);
    throw InputError("cannot read `" + path.string() + "`: it is a folder, expected a file",
                     "give the file itself");
  }
  return descriptor;
}

}  // namespace

void drop_pages(std::span<const std::byte> part) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (begin + page - 1) / page * page,
                  last = (begin + part.size()) / page * page;
  // Nothing is lost where it fails: the pages stay.
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    throw InputError("cannot read `" + path.string() + "`: it is a pipe or device, expected a file",
                     "write it to a file first");
  }
  const Descriptor descriptor{open_to_read(path, &status)};
  if (status.st_size == 0) return;
  size_ = static_cast<size_t>(status.st_size);
  void* address = mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor.value, 0);
  if (address == MAP_FAILED) {
    size_ = 0;
    input_error(path, errno);
  }
  data_ = static_cast<const std::byte*>(address);
  mapped_ranges::add(bytes(), path_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      path_(std::move(other.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  mapped_ranges::remove(bytes());
  munmap(const_cast<std::byte*>(data_), size_);
}

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  struct stat status {};
  const Descriptor descriptor{open_to_read(path, &status)};
  const bool regular = S_ISREG(status.st_mode);
  const uint64_t limit = regular ? max_bytes : std::min(max_bytes, kMaxStreamBytes);
  const auto refuse_size = [&] {
    throw InputError("`" + path.string() + "` is longer than " + format_bytes(limit) +
                         ", the limit for such a file",
                     "check that it is the file you meant");
  };
  if (regular && static_cast<uint64_t>(status.st_size) > limit) refuse_size();

  // Files under /proc say size 0 and hold text, so the end is where read() says it is.
  std::string text;
  size_t length = 0;
  text.resize(static_cast<size_t>(status.st_size) + 1);
  while (true) {
    if (length == text.size()) text.resize(std::max<size_t>(text.size() * 2, 4096));
    const bool may_wait = S_ISFIFO(status.st_mode) && length == 0;
    const ssize_t got = read_some(descriptor.value, std::span(text).subspan(length),
                                  may_wait ? kPipePatience : std::chrono::milliseconds(0));
    if (got < 0) input_error(path, errno);
    if (got == 0 && may_wait) {
      throw InputError("cannot read `" + path.string() + "`: no data comes from this pipe",
                       "start the program that writes to it, or give a file");
    }
    if (got == 0) break;
    length += static_cast<size_t>(got);
    if (length > limit) refuse_size();
  }
  text.resize(length);
  return text;
}

}  // namespace littlebit
