#include "littlebit/logging/run_main.h"

#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/logging/console.h"

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

int report(const Error& error) {
  if (error.code() == ExitCode::kStopped) {
    log_warning(error.what());
  } else {
    log_error(error.what(), error.hint());
  }
  return static_cast<int>(error.code());
}

int report(const std::exception& error) {
  if (says_memory_full(error.what())) {
    log_error("memory is full: " + first_line(error.what()), kMemoryHint);
    return static_cast<int>(ExitCode::kOutput);
  }
  log_error("internal error: " + first_line(error.what()),
            "this is a bug in littlebit: please report it with the command that led here");
  return static_cast<int>(ExitCode::kBug);
}

}  // namespace

int run_main(const std::function<int()>& body) noexcept {
  try {
    install_stop_handlers();
    return body();
  } catch (const Error& error) {
    return report(error);
  } catch (const std::bad_alloc&) {
    log_error("memory is full", kMemoryHint);
    return static_cast<int>(ExitCode::kOutput);
  } catch (const std::exception& error) {
    return report(error);
  }
}

}  // namespace littlebit
