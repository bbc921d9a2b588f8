// The line that names the process that others wait for.
#include "train/straggler.h"

#include <catch2/catch.hpp>

#include "support/thread_processes.h"

using namespace littlebit;
using Catch::Matchers::Contains;

TEST_CASE("the slowest process, and how much the others wait") {
  const std::vector<ProcessTime> times = {
      {.seconds = 10, .waited = 4}, {.seconds = 10, .waited = 0.5}, {.seconds = 10, .waited = 3}};
  CHECK(straggler_line(times, 5) ==
        "process 1 is the slowest: 1.9 s of its own per step, 5 % of its time waiting; the others "
        "wait 40 % (process 0), 30 % (process 2)");
  std::vector<ProcessTime> many(9, {.seconds = 10, .waited = 5});
  many[7].waited = 1;
  many[3].waited = 2;
  many[4].waited = 6;
  CHECK_THAT(straggler_line(many, 1), Contains("process 7 is the slowest: 9 s") &&
                                          Contains("wait 20 % (process 3) to 60 % (process 4)"));
}

TEST_CASE("every process can tell, with or without steps") {
  test::ThreadProcesses::run(2, [](Communicator& processes) {
    Straggler straggler(processes);
    straggler.tell(/*is_last=*/false);  // no step: no line
    straggler.begin_step();
    straggler.end_step();
    straggler.tell(/*is_last=*/true);
  });
}
