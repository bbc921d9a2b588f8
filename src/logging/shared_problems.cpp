// See shared_problems.h.
#include "littlebit/logging/shared_problems.h"

#include "logging/held_problems.h"
#include "logging/sinks.h"

namespace littlebit {

HeldProblems& held_problems() {
  static HeldProblems problems;
  return problems;
}

bool HeldProblems::take_warning(std::string_view message) {
  const std::lock_guard lock(mutex);
  // A stop has the name of the signal behind it.
  if (!left_to_first.empty() && message.starts_with(left_to_first)) return true;
  if (!is_shared) return false;
  if (told.find(message) == told.end()) warnings.emplace_back(message);
  return !is_first;
}

bool HeldProblems::is_left_to_first(std::string_view error) {
  const std::lock_guard lock(mutex);
  return !left_to_first.empty() && error == left_to_first;
}

void share_problems(bool is_first) {
  HeldProblems& problems = held_problems();
  const std::lock_guard lock(problems.mutex);
  problems.is_shared = true;
  problems.is_first = is_first;
}

std::vector<std::string> warnings_to_tell() {
  HeldProblems& problems = held_problems();
  const std::lock_guard lock(problems.mutex);
  problems.num_in_exchange = problems.warnings.size();
  return problems.warnings;
}

void show_told_warnings(const std::vector<std::vector<std::string>>& by_rank) {
  HeldProblems& problems = held_problems();
  const std::lock_guard lock(problems.mutex);
  if (!problems.is_shared) return;
  for (size_t rank = 0; rank < by_rank.size(); ++rank) {
    for (const std::string& warning : by_rank[rank]) {
      if (!problems.told.insert(warning).second || rank == 0 || !problems.is_first) continue;
      sinks::message(sinks::Level::kWarning, "process " + std::to_string(rank) + ": " + warning);
    }
  }
  problems.warnings.erase(
      problems.warnings.begin(),
      problems.warnings.begin() + static_cast<std::ptrdiff_t>(problems.num_in_exchange));
  problems.num_in_exchange = 0;
}

void leave_to_first(std::string_view error) {
  HeldProblems& problems = held_problems();
  const std::lock_guard lock(problems.mutex);
  if (problems.is_shared && !problems.is_first) problems.left_to_first = error;
}

void show_held_warnings() {
  HeldProblems& problems = held_problems();
  const std::lock_guard lock(problems.mutex);
  if (problems.is_shared && !problems.is_first) {
    for (const std::string& warning : problems.warnings) {
      sinks::message(sinks::Level::kWarning, warning);
    }
  }
  problems.warnings.clear();
}

}  // namespace littlebit
