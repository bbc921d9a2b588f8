// What tests ask of the way a program ended: its exit code and what it said on stderr.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "integration/program.h"

namespace littlebit::test {

inline void check_outcome(const Outcome& outcome, int code, const std::vector<std::string>& words) {
  INFO(outcome.err);
  CHECK(outcome.code == code);
  for (const std::string& word : words) CHECK_THAT(outcome.err, Catch::Contains(word));
}

// A message, no stack trace, the exit code.
inline void check_refused(const Outcome& outcome, int code, const std::vector<std::string>& words) {
  check_outcome(outcome, code, words);
  CHECK_THAT(outcome.err, Catch::Contains("error: ") && !Catch::Contains("frame #"));
}

inline void require_done(const Outcome& outcome) {
  INFO(outcome.err);
  REQUIRE(outcome.code == 0);
}

}  // namespace littlebit::test
