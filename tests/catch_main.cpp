// Catch2's main function. It stands alone here, because it takes longer to compile than any of the
// tests.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <csignal>

int main(int argc, char** argv) {
  // A test that was started by nohup or in the background has signals that it ignores, and so would
  // the programs that it starts.
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    std::signal(number, SIG_DFL);
  }
  return Catch::Session().run(argc, argv);
}
