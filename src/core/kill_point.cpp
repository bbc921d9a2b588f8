// The variable is read once.
#include "littlebit/core/kill_point.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr std::string_view kPoints[] = {
    "factorisation", "reduce", "update", "gather", "write", "before_rename", "between_renames"};

struct Target {
  std::string name;  // "": none
  std::atomic<int64_t> left{0};

  Target() {
    const char* variable = std::getenv("LITTLEBIT_KILL_AT");
    if (variable == nullptr) return;
    const std::vector<std::string> words = split(variable, ':');
    const char* rank = std::getenv("RANK");
    const bool is_known =
        std::find(std::begin(kPoints), std::end(kPoints), words[0]) != std::end(kPoints);
    left = words.size() < 2 ? 0 : std::strtoll(words[1].c_str(), nullptr, 10);
    if (!is_known || words.size() > 3 || left < 1) {
      throw UsageError("LITTLEBIT_KILL_AT is \"" + std::string(variable) + "\"",
                       "POINT:COUNT or POINT:COUNT:RANK; it is for tests");
    }
    if (words.size() == 3 && words[2] != (rank == nullptr ? "0" : rank)) return;
    name = words[0];
  }
};

}  // namespace

void kill_point(std::string_view name) {
  static Target target;
  if (target.name.empty() || target.name != name) return;
  if (--target.left == 0) raise(SIGKILL);
}

}  // namespace littlebit
