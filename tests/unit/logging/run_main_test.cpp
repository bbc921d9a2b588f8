// Every way out of a program ends in its exit code and one message.
#include "littlebit/logging/run_main.h"

#include <signal.h>

#include <catch2/catch.hpp>
#include <new>
#include <stdexcept>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/logging/console.h"
#include "unit/logging/child_stderr.h"

namespace littlebit {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::Equals;

// What run_main() wrote, and its exit code on a last line.
std::string outcome(const std::function<int()>& body) {
  return stderr_of([&] {
    const int code = run_main(body);
    log_info("exit " + std::to_string(code));
  });
}

std::string outcome_of_throwing(const std::exception& error) {
  return outcome([&]() -> int { throw std::runtime_error(error.what()); });
}

TEST_CASE("run_main passes an exit code on") {
  CHECK(outcome([] { return 0; }) == "exit 0\n");
  CHECK(outcome([] { return 75; }) == "exit 75\n");
}

TEST_CASE("run_main prints an Error with its hint") {
  CHECK(outcome([]() -> int { throw InputError("no file", "look"); }) ==
        "error: no file\nhint: look\nexit 3\n");
  CHECK(outcome([]() -> int { throw UsageError("no key"); }) ==
        "error: no key\nhint: docs/config.md lists every option, as --help does\nexit 2\n");
  CHECK(outcome([]() -> int { throw NumericsError("NaN"); }) == "error: NaN\nexit 4\n");
}

TEST_CASE("run_main: stopped is no error") {
  CHECK(outcome([]() -> int {
          raise(SIGTERM);
          if (!stop_requested()) return 99;
          throw Error(ExitCode::kStopped, "stopped");
        }) == "warning: stopped (SIGTERM)\nexit 143\n");
}

TEST_CASE("run_main: memory that ran out is exit code 5, whoever says it") {
  CHECK_THAT(outcome([]() -> int { throw std::bad_alloc(); }),
             Contains("error: memory is full\nhint: ") && Contains("exit 5\n"));
  CHECK_THAT(outcome_of_throwing(std::runtime_error(
                 "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate "
                 "9 bytes.\nframe #0: noise")),
             Contains("error: memory is full: ") &&
                 Contains("9 more bytes were requested\nhint: ") && Contains("exit 5\n"));
  CHECK_THAT(outcome_of_throwing(std::runtime_error("CUDA out of memory. Tried")),
             Contains("exit 5\n"));
}

TEST_CASE("run_main: anything else is a bug of ours") {
  const std::string seen =
      outcome_of_throwing(std::logic_error("file.cpp:3: broken\nframe #0: noise"));
  CHECK_THAT(seen, Contains("error: internal error: file.cpp:3: broken\nhint: this is a bug") &&
                       Contains("exit 1\n"));
  CHECK(seen.find("noise") == std::string::npos);
}

}  // namespace
}  // namespace littlebit
