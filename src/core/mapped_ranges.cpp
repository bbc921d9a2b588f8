// The list of mapped files and the handler of SIGBUS, which is what reading a page that is not
// there any more ends in. The handler calls async-signal-safe functions only, on memory of its own.
#include "core/mapped_ranges.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string_view>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"

namespace littlebit {
namespace {

constexpr size_t kMaxBytes = 1024;  // of a path or note as it is shown

struct Range {
  std::atomic<uintptr_t> begin{0};  // 0: free
  std::atomic<size_t> size{0};
  char path[kMaxBytes] = {};
  Range* next = nullptr;
};

std::atomic<Range*> g_first{nullptr};
std::mutex g_changes;

// Two, so that one is whole while the other is written.
char g_notes[2][kMaxBytes];
std::atomic<const char*> g_note{nullptr};
std::atomic<bool> g_terminal{false};

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

constexpr char kHint[] =
    "restore the whole file, keep other programs from writing to it, and start again";

// A text put together without allocating.
class Text {
 public:
  Text& add(const char* text) {
    for (; *text != '\0' && length_ < sizeof bytes_; ++text) bytes_[length_++] = *text;
    return *this;
  }
  Text& add_printable(const char* text) {
    for (; *text != '\0' && length_ < sizeof bytes_; ++text) {
      const auto byte = static_cast<unsigned char>(*text);
      bytes_[length_++] = byte < 0x20 || byte == 0x7F ? '?' : *text;
    }
    return *this;
  }
  void write_to(int descriptor) const {
    for (size_t at = 0; at < length_;) {
      const ssize_t written = ::write(descriptor, bytes_ + at, length_ - at);
      if (written <= 0) return;
      at += static_cast<size_t>(written);
    }
  }

 private:
  char bytes_[4 * kMaxBytes];
  size_t length_ = 0;
};

void on_bus_error(int, siginfo_t* info, void*) {
  static std::atomic_flag told = ATOMIC_FLAG_INIT;
  const Range* range = range_of(reinterpret_cast<uintptr_t>(info->si_addr));
  if (range == nullptr) {  // not a file of ours: the same instruction then ends the process
    signal(SIGBUS, SIG_DFL);
    return;
  }
  if (told.test_and_set()) {
    while (true) pause();  // another thread tells it
  }
  Text text;
  if (g_terminal.load()) text.add("\r\x1b[K");  // over a line of progress
  text.add("error: cannot read `").add_printable(range->path).add("`: ").add(reason_of(*range));
  text.add("\nhint: ").add(kHint);
  if (const char* note = g_note.load(); note != nullptr) text.add("; ").add_printable(note);
  text.add("\n").write_to(STDERR_FILENO);
  _exit(static_cast<int>(ExitCode::kInput));
}

}  // namespace

void install_bus_error_handler() {
  g_terminal = isatty(STDERR_FILENO) == 1;
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

void set_bus_error_note(std::string_view note) {
  const std::lock_guard lock(g_changes);
  char(&other)[kMaxBytes] = g_note.load() == g_notes[0] ? g_notes[1] : g_notes[0];
  copy_text(other, note);
  g_note = note.empty() ? nullptr : other;
}

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
  throw InputError("cannot read `" + std::string(range->path) + "`: " + reason_of(*range), kHint);
}

}  // namespace mapped_ranges
}  // namespace littlebit
