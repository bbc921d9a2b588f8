// Warnings and errors of several processes, each shown once.
#include "littlebit/logging/shared_problems.h"

#include <catch2/catch.hpp>

#include "littlebit/logging/console.h"
#include "unit/logging/child_stderr.h"

namespace littlebit {
namespace {

using Catch::Matchers::Equals;
using Lists = std::vector<std::vector<std::string>>;

TEST_CASE("the first process shows its warnings at once, and what is new of the others'") {
  CHECK_THAT(stderr_of([] {
               share_problems(/*is_first=*/true);
               log_warning("mine");
               const std::vector<std::string> told = warnings_to_tell();
               show_told_warnings({told, {"mine", "theirs"}, {"theirs"}});
               show_told_warnings({warnings_to_tell(), {"mine"}, {"theirs", "late"}});
             }),
             Equals("warning: mine\nwarning: process 1: theirs\nwarning: process 2: late\n"));
}

TEST_CASE("another process holds its warnings until they are told, or it ends") {
  CHECK_THAT(stderr_of([] {
               show_problems_only();
               share_problems(/*is_first=*/false);
               log_warning("told");
               Lists all = {{}, warnings_to_tell()};
               log_warning("not told yet");
               show_told_warnings(all);
               log_warning("told");  // again
               leave_to_first("the first says it");
               log_error("the first says it", "a hint");
               log_error("its own");
             }),
             Equals("warning: not told yet\nerror: its own\n"));
}

TEST_CASE("a process that is alone shows everything") {
  CHECK_THAT(stderr_of([] {
               log_warning("one");
               if (!warnings_to_tell().empty()) log_warning("never");
               leave_to_first("two");
               log_error("two");
             }),
             Equals("warning: one\nerror: two\n"));
}

}  // namespace
}  // namespace littlebit
