// Finds the slowest process, for which the others wait, and logs it in runs of several.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "littlebit/core/stopwatch.h"
#include "littlebit/distributed/communicator.h"

namespace littlebit {

// What the steps since the last line took one process.
struct ProcessTime {
  double seconds = 0;  // in all
  double waited = 0;   // of them, in collective calls
};

// "process 2 is the slowest: 1.3 s of its own a step, 4 % of its time waiting; the others wait 30 %
// (process 0), 28 % (process 1)". Of more than eight processes the others' least and largest share.
std::string straggler_line(std::span<const ProcessTime> times, int64_t steps);

// Collects them over steps. Nothing in a run of one process.
class Straggler {
 public:
  explicit Straggler(Communicator& processes) : processes_(processes) {}
  void begin_step();
  void end_step();
  // The first process logs the line of the steps since the last one; at most every ten seconds,
  // unless it is the last. Collective.
  void tell(bool is_last);

 private:
  Communicator& processes_;
  ProcessTime time_;  // of all steps
  int64_t steps_ = 0;
  double waited_before_ = 0;
  Stopwatch step_, since_line_;
  std::vector<ProcessTime> told_;  // of all processes, at the last line
  int64_t steps_told_ = 0;
};

}  // namespace littlebit
