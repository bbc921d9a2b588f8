// See straggler.h. On Gloo the host waits in the calls themselves, so that time outside of them is
// a process's own.
#include "straggler.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "littlebit/core/strings.h"
#include "littlebit/distributed/waiting.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

constexpr double kSecondsBetweenLines = 10;
constexpr size_t kMaxNamed = 8;

double own(const ProcessTime& time) { return time.seconds - time.waited; }
double share(const ProcessTime& time) { return time.seconds > 0 ? time.waited / time.seconds : 0; }
std::string percent(double share) { return std::to_string(std::lround(100 * share)) + " %"; }

}  // namespace

std::string straggler_line(std::span<const ProcessTime> times, int64_t steps) {
  const auto slowest = static_cast<size_t>(
      std::max_element(times.begin(), times.end(),
                       [](const ProcessTime& a, const ProcessTime& b) { return own(a) < own(b); }) -
      times.begin());
  std::vector<size_t> others;
  for (size_t rank = 0; rank < times.size(); ++rank) {
    if (rank != slowest) others.push_back(rank);
  }
  std::vector<std::string> words;
  const auto name = [&](size_t rank) {
    words.push_back(percent(share(times[rank])) + " (process " + std::to_string(rank) + ")");
  };
  if (times.size() <= kMaxNamed) {
    for (const size_t rank : others) name(rank);
  } else {
    const auto [least, most] =
        std::minmax_element(others.begin(), others.end(),
                            [&](size_t a, size_t b) { return share(times[a]) < share(times[b]); });
    name(*least);
    name(*most);
  }
  return "process " + std::to_string(slowest) + " is the slowest: " +
         format_digits(own(times[slowest]) / static_cast<double>(std::max<int64_t>(steps, 1)), 3) +
         " s of its own per step, " + percent(share(times[slowest])) +
         " of its time waiting; the others wait " +
         join(words, times.size() <= kMaxNamed ? ", " : " to ");
}

void Straggler::begin_step() {
  step_ = Stopwatch();
  waited_before_ = seconds_waited();
}

void Straggler::end_step() {
  ++steps_;
  time_.seconds += step_.seconds();
  time_.waited += seconds_waited() - waited_before_;
}

void Straggler::tell(bool is_last) {
  if (processes_.world() == 1) return;
  char mine[64];
  std::snprintf(mine, sizeof mine, "%.6f %.6f", time_.seconds, time_.waited);
  std::vector<ProcessTime> times;
  for (const std::string& text : processes_.gather(mine)) {
    ProcessTime& time = times.emplace_back();
    std::sscanf(text.c_str(), "%lf %lf", &time.seconds, &time.waited);
  }
  if (!processes_.is_first() || steps_ == steps_told_) return;
  if (!is_last && since_line_.seconds() < kSecondsBetweenLines) return;
  std::vector<ProcessTime> since = times;
  for (size_t rank = 0; rank < told_.size(); ++rank) {
    since[rank].seconds -= told_[rank].seconds;
    since[rank].waited -= told_[rank].waited;
  }
  log_info(straggler_line(since, steps_ - steps_told_));
  told_ = std::move(times);
  steps_told_ = steps_;
  since_line_ = Stopwatch();
}

}  // namespace littlebit
