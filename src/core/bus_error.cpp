// The handler of SIGBUS, which is what reading a page that is not there any more ends in. It calls
// async-signal-safe functions only, on memory of its own.
#include "littlebit/core/bus_error.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>

#include "core/mapped_ranges.h"
#include "littlebit/core/error.h"

namespace littlebit {
namespace {

constexpr size_t kMaxBytes = 1024;  // of a note as it is shown

// Two, so that one is whole while the other is written.
char g_notes[2][kMaxBytes];
std::atomic<const char*> g_note{nullptr};
std::atomic<bool> g_terminal{false};
std::mutex g_changes;

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
  const mapped_ranges::Lost lost = mapped_ranges::lost_at(info->si_addr);
  if (lost.path == nullptr) {  // not a file of ours: the same instruction then ends the process
    signal(SIGBUS, SIG_DFL);
    return;
  }
  if (told.test_and_set()) {
    while (true) pause();  // another thread tells it
  }
  Text text;
  if (g_terminal.load()) text.add("\r\x1b[K");  // over a line of progress
  text.add("error: cannot read `").add_printable(lost.path).add("`: ").add(lost.reason);
  text.add("\nhint: ").add(mapped_ranges::kLostHint);
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
  const size_t length = std::min(note.size(), kMaxBytes - 1);
  std::memcpy(other, note.data(), length);
  other[length] = '\0';
  g_note = note.empty() ? nullptr : other;
}

}  // namespace littlebit
