// The list of mapped files, read by a signal handler (bus_error.cpp) while other threads change it.
#include "core/mapped_ranges.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr size_t kMaxBytes = 1024;  // of a path as it is shown

struct Range {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<size_t> size{0};
  char path[kMaxBytes] = {};
  Range* next = nullptr;
};

std::atomic<Range*> g_first{nullptr};
std::mutex g_changes;

void copy_text(char (&to)[kMaxBytes], std::string_view text) {
  const size_t length = std::min(text.size(), kMaxBytes - 1);
  std::memcpy(to, text.data(), length);
  to[length] = '\0';
}

const Range* range_of(uintptr_t address) {
  for (const Range* range = g_first.load(); range != nullptr; range = range->next) {
    const uintptr_t begin = range->begin.load();
    // The last page is mapped whole.
    if (begin != 0 && address >= begin && address - begin < range->size.load()) return range;
  }
  return nullptr;
}

// What is known of why the file cannot be read any more.
const char* reason_of(const Range& range) {
  struct stat status {};
  const bool shorter =
      stat(range.path, &status) == 0 && static_cast<size_t>(status.st_size) < range.size.load();
  return shorter ? "it became shorter while it was read"
                 : "its file system failed to deliver a part of it, or it became shorter while it "
                   "was read";
}

}  // namespace

namespace mapped_ranges {

void add(std::span<const std::byte> bytes, const std::filesystem::path& path) {
  const std::lock_guard lock(g_changes);
  Range* range = g_first.load();
  while (range != nullptr && range->begin.load() != 0) range = range->next;
  const bool is_new = range == nullptr;
  if (is_new) range = new Range;
  copy_text(range->path, path.native());
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  range->size = (bytes.size() + page - 1) / page * page;
  range->begin = reinterpret_cast<uintptr_t>(bytes.data());
  if (!is_new) return;
  range->next = g_first.load();
  g_first = range;
}

void remove(std::span<const std::byte> bytes) {
  const std::lock_guard lock(g_changes);
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data());
  for (Range* range = g_first.load(); range != nullptr; range = range->next) {
    if (range->begin.load() == begin) range->begin = 0;
  }
}

void throw_if_lost(std::span<const std::byte> bytes) {
  const Range* range = range_of(reinterpret_cast<uintptr_t>(bytes.data()));
  if (range == nullptr) return;
  throw InputError("cannot read `" + std::string(range->path) + "`: " + reason_of(*range),
                   kLostHint);
}

Lost lost_at(const void* address) {
  const Range* range = range_of(reinterpret_cast<uintptr_t>(address));
  return range == nullptr ? Lost() : Lost{range->path, reason_of(*range)};
}

}  // namespace mapped_ranges
}  // namespace littlebit
