// The main function of the tests. It stands alone here, because Catch2 takes longer to compile than
// any of them.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <csignal>

#include "support/begin_tests.h"

namespace littlebit::test {
[[gnu::weak]] void begin_tests() {}
}  // namespace littlebit::test

int main(int argc, char** argv) {
  // A test that was started by nohup or in the background has signals that it ignores, and so would
  // the programs that it starts.
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    std::signal(number, SIG_DFL);
  }
  littlebit::test::begin_tests();
  return Catch::Session().run(argc, argv);
}
