// The main function of the tests. It stands alone here, because Catch2 takes longer to compile than
// any of them.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "support/begin_tests.h"

namespace littlebit::test {
[[gnu::weak]] void begin_tests() {}
}  // namespace littlebit::test

namespace {

// Catch2's assertions are of one thread; two threads that check at once damage its lists, now and
// then. So that this shows at the first run, a check of another thread ends the program.
struct ChecksOfOneThread : Catch::TestEventListenerBase {
  using TestEventListenerBase::TestEventListenerBase;
  const std::thread::id own = std::this_thread::get_id();
  void assertionStarting(const Catch::AssertionInfo& check) override {
    if (std::this_thread::get_id() == own) return;
    std::fprintf(stderr, "%s:%zu: checks belong into the test's own thread: hand the value over\n",
                 check.lineInfo.file, check.lineInfo.line);
    std::abort();
  }
};
CATCH_REGISTER_LISTENER(ChecksOfOneThread)

}  // namespace

int main(int argc, char** argv) {
  // A test that was started by nohup or in the background has signals that it ignores, and so would
  // the programs that it starts.
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    std::signal(number, SIG_DFL);
  }
  littlebit::test::begin_tests();
  return Catch::Session().run(argc, argv);
}
