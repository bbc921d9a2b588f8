// Counts time that is waited, for seconds_waited(). Inside distributed only.
#pragma once

#include "littlebit/core/stopwatch.h"

namespace littlebit {

// As long as one lives, its thread waits.
struct Waiting {
  Stopwatch stopwatch;
  Waiting() = default;
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting();
};

}  // namespace littlebit
