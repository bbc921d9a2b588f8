// `--nproc N`, and the processes that it started.
#include "littlebit/distributed/nproc.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "littlebit/core/error.h"
#include "littlebit/distributed/environment.h"
#include "littlebit/distributed/launcher.h"

namespace littlebit {
namespace {

constexpr int64_t kMaxProcesses = 1024;

// The words of N in "--nproc N" and "--nproc=N" (nullopt: there is none), which leave `arguments`.
// Taken out of the arguments before options are parsed: the processes get the same line without it.
std::optional<std::string> take_nproc(std::vector<std::string>& arguments) {
  constexpr std::string_view kOption = "--nproc";
  for (size_t i = 1; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string word = arguments[i];
    if (word.starts_with(std::string(kOption) + "=")) {
      arguments.erase(arguments.begin() + static_cast<int64_t>(i));
      return word.substr(kOption.size() + 1);
    }
    if (word != kOption) continue;
    const bool has_value = i + 1 < arguments.size();
    std::string value = has_value ? arguments[i + 1] : "";
    arguments.erase(arguments.begin() + static_cast<int64_t>(i),
                    arguments.begin() + static_cast<int64_t>(i + (has_value ? 2 : 1)));
    return value;
  }
  return std::nullopt;
}

// The path, not the link to it: it gives the processes their name.
std::string own_program() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", error);
  return !error && std::filesystem::exists(path, error) ? path.string() : "/proc/self/exe";
}

// A process that was started by launch() stops when its launcher is gone.
void follow_launcher() {
  const char* launcher = std::getenv("LITTLEBIT_LAUNCHER");
  if (launcher == nullptr) return;
  // The kernel tells when the parent dies; if it died before this call, getppid() is already
  // another.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (std::to_string(getppid()) != launcher) raise(SIGTERM);
}

}  // namespace

std::optional<int> launch_if_asked(int argc, char** argv) {
  Launch launch{.program = own_program(), .arguments = {argv, argv + argc}};
  const std::optional<std::string> number = take_nproc(launch.arguments);
  if (!number) {
    follow_launcher();
    return std::nullopt;
  }
  const auto [end, error] =
      std::from_chars(number->data(), number->data() + number->size(), launch.processes);
  if (number->empty() || error != std::errc() || end != number->data() + number->size() ||
      launch.processes < 1 || launch.processes > kMaxProcesses) {
    throw UsageError("--nproc was given \"" + *number + "\"",
                     "a number of processes from 1 to " + std::to_string(kMaxProcesses));
  }
  const Environment environment = read_environment(environment_variables());
  if (environment.world > 1) {
    throw UsageError("--nproc " + *number + ", but this is process " +
                         std::to_string(environment.rank) + " of " +
                         std::to_string(environment.world) + " (" + environment.found + ")",
                     "leave --nproc out, or start one process by " + environment.found);
  }
  return littlebit::launch(launch);
}

}  // namespace littlebit
