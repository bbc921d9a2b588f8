// The handler touches lock-free atomics, and makes system calls where the process ends.
#include "littlebit/core/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <utility>

#include "littlebit/core/error.h"

namespace littlebit {
namespace {

// A terminal that is gone, a scheduler's or a person's word, a limit of processor time.
constexpr std::pair<int, std::string_view> kStopSignals[] = {
    {SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"},   {SIGHUP, "SIGHUP"},
    {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"}};

std::atomic<int> g_stop_signal{0};
std::atomic<bool> g_interrupted{false};
std::atomic<const char*> g_last_words{nullptr};  // not null: a stop ends the process at once
static_assert(std::atomic<int>::is_always_lock_free);

void end_at_once() {
  const char* words = g_last_words.load();
  if (words == nullptr || g_stop_signal.load() == 0) return;
  for (const char* part : {"warning: ", words, "\n"}) {
    if (write(STDERR_FILENO, part, strlen(part)) < 0) break;
  }
  _exit(static_cast<int>(ExitCode::kStopped));
}

void on_stop_signal(int signal_number) {
  if (signal_number == SIGINT && g_interrupted.exchange(true)) _exit(130);
  int none = 0;
  g_stop_signal.compare_exchange_strong(none, signal_number);
  end_at_once();
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const auto& [number, name] : kStopSignals) {
    struct sigaction before {};
    sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);
  }
  action.sa_handler = SIG_IGN;  // a write past the file size limit then fails with EFBIG
  sigaction(SIGXFSZ, &action, nullptr);
  sigaction(SIGPIPE, &action, nullptr);  // one to a reader that went away, with EPIPE
}

bool stop_requested() { return g_stop_signal.load() != 0; }

std::string_view stop_signal_name() {
  const int stopped_by = g_stop_signal.load();
  for (const auto& [number, name] : kStopSignals) {
    if (number == stopped_by) return name;
  }
  return "";
}

StopEndsAtOnce::StopEndsAtOnce(const char* message) {
  g_last_words = message;
  end_at_once();
}

StopEndsAtOnce::~StopEndsAtOnce() { g_last_words = nullptr; }

void clear_stop_request() {
  g_interrupted = false;
  g_stop_signal = 0;
}

}  // namespace littlebit
