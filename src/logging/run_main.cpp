// The last catch of a program. Whatever ends it, the user sees one message and the shell one of the
// exit codes of core/error.h; output that could not be written counts as failed.
#include "littlebit/logging/run_main.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "littlebit/core/bus_error.h"
#include "littlebit/core/error.h"
#include "littlebit/core/process.h"
#include "littlebit/core/signals.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/shared_problems.h"

namespace littlebit {
namespace {

constexpr char kMemoryHint[] =
    "use a smaller batch or sequence length, or a machine with more memory";

// LibTorch throws its own type, which is not known here; its words are.
bool says_memory_full(std::string_view message) {
  for (const std::string_view words :
       {"not enough memory", "can't allocate memory", "CUDA out of memory"}) {
    if (message.find(words) != std::string_view::npos) return true;
  }
  return false;
}

// Without the stack trace that LibTorch appends.
std::string first_line(std::string_view message) {
  return std::string(message.substr(0, message.find('\n')));
}

// Nobody reads standard output any more, whether or not a write has met with it yet.
bool reader_is_gone() {
  pollfd out{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
  return poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

struct ReaderGone : Error {
  ReaderGone() : Error(ExitCode::kDone, "the reader of standard output is gone") {}
};

// What a program printed for others to read is a result like any other. A reader that has seen
// enough and went away (`| head`) is no failure, whenever it went.
int finish_output(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  const int error = errno;
  if (error == EPIPE || reader_is_gone()) return code;
  log_error("cannot write to standard output: " + std::generic_category().message(error),
            "free space at its destination, or redirect it elsewhere");
  return code == 0 ? static_cast<int>(ExitCode::kOutput) : code;
}

// For errors whose message says all there is to say about the thing itself.
const char* general_hint(ExitCode code) {
  switch (code) {
    case ExitCode::kUsage:
      return "docs/config.md lists every option, as --help does";
    case ExitCode::kInput:
      return "check that it is the right file and that it is complete";
    case ExitCode::kOutput:
      return "write to another place";
    default:
      return "";
  }
}

int report(const Error& error) {
  if (error.code() == ExitCode::kDone) {  // ReaderGone
  } else if (error.code() == ExitCode::kStopped) {
    const std::string name(stop_signal_name());
    log_warning(error.what() + (name.empty() ? name : " (" + name + ")"));
    show_held_warnings();
  } else {
    log_error(error.what(), error.hint().empty() ? general_hint(error.code()) : error.hint());
  }
  return static_cast<int>(error.code());
}

// "102400000 more bytes were requested", out of LibTorch's "[enforce fail ...] ... you tried to
// allocate 102400000 bytes. ..."; else the first line.
std::string bytes_asked(std::string_view message) {
  constexpr std::string_view kWords = "tried to allocate ";
  const size_t at = message.find(kWords);
  const size_t begin = at == std::string_view::npos ? at : at + kWords.size();
  const size_t end = message.find(" bytes", begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return first_line(message);
  return std::string(message.substr(begin, end - begin)) + " more bytes were requested";
}

int report(const std::exception& error) {
  if (says_memory_full(error.what())) {
    log_error("memory is full: " + bytes_asked(error.what()), kMemoryHint);
    return static_cast<int>(ExitCode::kOutput);
  }
  log_error("internal error: " + first_line(error.what()),
            "this is a bug in littlebit: please report it with the command that led here");
  return static_cast<int>(ExitCode::kBug);
}

}  // namespace

void print_output(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (written && std::fflush(stdout) == 0) return;
  if (errno == EPIPE || reader_is_gone()) throw ReaderGone();
  throw OutputError("standard output cannot be written");
}

int run_main(const std::function<int()>& body) noexcept {
  try {
    open_closed_descriptors();
    keep_freed_memory();
    install_stop_handlers();
    install_bus_error_handler();
    const int code = body();
    show_held_warnings();
    return finish_output(code);
  } catch (const Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    log_error("memory is full", kMemoryHint);
    return static_cast<int>(ExitCode::kOutput);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::resource_unavailable_try_again &&
        error.code() != std::errc::not_enough_memory) {
      return report(error);
    }
    log_error("the system refuses more threads or memory: " + error.code().message(),
              "use fewer threads (train.threads, --threads), or raise the limits (ulimit)");
    return static_cast<int>(ExitCode::kOutput);
  } catch (const std::exception& error) {
    return report(error);
  }
}

}  // namespace littlebit
