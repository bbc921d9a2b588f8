// What shared_problems.h keeps, for log_warning() and log_error().
#pragma once

#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace littlebit {

struct HeldProblems {
  std::mutex mutex;
  bool is_shared = false, is_first = false;
  std::vector<std::string> warnings;        // of this process, not told yet
  size_t num_in_exchange = 0;               // of them
  std::set<std::string, std::less<>> told;  // by any process
  std::string left_to_first;

  // Whether this warning is not to be shown here, now.
  bool take_warning(std::string_view message);
  bool is_left_to_first(std::string_view error);
};

HeldProblems& held_problems();

}  // namespace littlebit
