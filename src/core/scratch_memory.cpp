// The disk's room is taken at once: a page that found none later would end the program.
#include "littlebit/core/scratch_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/file_ops.h"
#include "core/mapped_ranges.h"
#include "littlebit/core/disk_space.h"
#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr const char* kWhat = "make room for the run's state in";

// A file without a name; where the file system has none such, one that has lost it.
int open_nameless(const std::filesystem::path& folder) {
  const int nameless = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (nameless >= 0) return nameless;
  std::string name = (folder / "scratch-XXXXXX").string();
  const int descriptor = mkostemp(name.data(), O_CLOEXEC);
  if (descriptor < 0) file_ops::output_error(kWhat, folder, errno);
  unlink(name.c_str());
  return descriptor;
}

}  // namespace

ScratchMemory::ScratchMemory(const std::filesystem::path& folder, uint64_t bytes) : size_(bytes) {
  LB_ASSERT(bytes > 0, "there is something to be kept");
  require_space(folder, bytes, "the state of a run that is kept on the disk");
  const int descriptor = open_nameless(folder);
  int error = 0;
  do {
    error = posix_fallocate(descriptor, 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  void* address = MAP_FAILED;
  if (error == 0) {
    address = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (address == MAP_FAILED) error = errno;
  }
  close(descriptor);
  if (error != 0) file_ops::output_error(kWhat, folder, error);
  data_ = static_cast<std::byte*>(address);
  mapped_ranges::add(this->bytes(), folder);
}

ScratchMemory::~ScratchMemory() {
  mapped_ranges::remove(bytes());
  munmap(data_, size_);
}

}  // namespace littlebit
