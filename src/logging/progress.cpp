// Progress: a rate over the last minute, the time left at that rate, and who gets to see it how
// often.
#include "littlebit/logging/progress.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <mutex>

#include "littlebit/core/strings.h"
#include "logging/sinks.h"

namespace littlebit {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kRedrawSeconds = 0.1;
constexpr double kWindowSeconds = 60;
constexpr int kBarWidth = 20;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string one_decimal(double value) {
  char buffer[64];
  return {buffer, static_cast<size_t>(std::snprintf(buffer, sizeof buffer, "%.1f", value))};
}

// "step" of "steps", "pass" of "passes".
std::string_view singular(std::string_view plural) {
  const bool is_of_s = plural.ends_with("sses");
  return plural.ends_with('s') ? plural.substr(0, plural.size() - (is_of_s ? 2 : 1)) : plural;
}

// Appends `text` behind `separator` unless it is empty.
void add_part(std::string* line, std::string_view separator, std::string_view text) {
  if (!text.empty()) line->append(separator).append(text);
}

}  // namespace

struct Progress::State {
  struct Sample {
    Clock::time_point time;
    int64_t done;
  };
  std::string what, unit;
  int64_t first, total, done;
  double plain_seconds;
  Clock::time_point start = Clock::now(), last_drawn{}, last_plain = start;
  std::deque<Sample> window;
  bool finished = false;
  std::mutex mutex;

  void sample(Clock::time_point now) {
    if (window.size() > 1 && seconds_between(window[window.size() - 2].time, now) < 1) {
      window.back() = {now, done};
    } else {
      window.push_back({now, done});
    }
    while (window.size() > 2 && seconds_between(window[1].time, now) > kWindowSeconds) {
      window.pop_front();
    }
  }

  double rate() const {
    const double seconds = seconds_between(window.front().time, window.back().time);
    const auto moved = static_cast<double>(window.back().done - window.front().done);
    return seconds > 0 && moved > 0 ? moved / seconds : 0;
  }

  std::string amount(int64_t n) const {
    if (unit == "B") return format_bytes(static_cast<uint64_t>(std::max<int64_t>(n, 0)));
    return format_count(n);
  }

  std::string rate_text(double rate) const {
    if (rate <= 0) return "";
    if (unit == "B") return format_bytes(static_cast<uint64_t>(rate)) + "/s";
    if (rate >= 100) return format_count(std::llround(rate)) + " " + unit + "/s";
    if (rate >= 1) return one_decimal(rate) + " " + unit + "/s";
    return one_decimal(1 / rate) + " s/" + std::string(singular(unit));
  }

  std::string time_left(double rate) const {
    if (rate <= 0 || total <= 0 || done >= total) return "";
    return format_duration(static_cast<double>(total - done) / rate) + " left";
  }

  double fraction() const {
    return std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  }

  std::string percent() const {
    return std::to_string(static_cast<int>(std::floor(fraction() * 100))) + "%";
  }

  std::string amounts(std::string_view of) const {
    std::string text = amount(done);
    if (total > 0) text.append(of).append(amount(total));
    if (unit != "B") text += " " + unit;
    return text;
  }

  std::string live_line(std::string_view note) const {
    std::string line = what;
    if (total > 0) {
      const int filled = static_cast<int>(fraction() * kBarWidth);
      line += "  [" + std::string(static_cast<size_t>(filled), '=') +
              std::string(static_cast<size_t>(kBarWidth - filled), ' ') + "] " + percent();
    }
    line += "  " + amounts("/");
    add_part(&line, "  ", rate_text(rate()));
    add_part(&line, "  ", time_left(rate()));
    add_part(&line, "  ", note);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return std::string(sinks::fitting(line, static_cast<size_t>(sinks::columns()) - 1));
  }

  std::string plain_line(std::string_view note) const {
    std::string line = what + ": ";
    line += total > 0 ? percent() + " (" + amounts(" of ") + ")" : amounts("");
    add_part(&line, ", ", rate_text(rate()));
    add_part(&line, ", ", time_left(rate()));
    add_part(&line, "; ", note);
    return line;
  }

  std::string last_line(std::string_view note) const {
    const double seconds = seconds_between(start, Clock::now());
    std::string line = what + ": " + amounts(done == total ? "" : " of ");
    if (done == total) line = what + ": " + amount(done) + (unit == "B" ? "" : " " + unit);
    line += " in " + format_duration(seconds);
    const double mean = seconds > 0 ? static_cast<double>(done - first) / seconds : 0;
    if (seconds >= 0.1) add_part(&line, ", ", rate_text(mean));
    add_part(&line, "; ", note);
    return line;
  }
};

Progress::Progress(std::string what, int64_t total, std::string unit, double plain_seconds,
                   int64_t first)
    : state_(std::make_unique<State>()) {
  state_->what = std::move(what);
  state_->unit = std::move(unit);
  state_->first = state_->done = first;
  state_->total = total;
  state_->plain_seconds = plain_seconds;
  state_->window.push_back({state_->start, first});
}

Progress::~Progress() { sinks::hide_live(state_.get()); }

void Progress::update(int64_t done, std::string_view note) {
  const std::lock_guard lock(state_->mutex);
  if (state_->finished) return;
  const auto now = Clock::now();
  state_->done = done;
  state_->sample(now);
  if (sinks::on_terminal() && seconds_between(state_->last_drawn, now) >= kRedrawSeconds) {
    state_->last_drawn = now;
    sinks::show_live(state_.get(), state_->live_line(note));
  }
  if (seconds_between(state_->last_plain, now) >= state_->plain_seconds) {
    state_->last_plain = now;
    if (sinks::on_terminal()) {
      sinks::file_only(state_->plain_line(note));
    } else {
      sinks::message(sinks::Level::kInfo, state_->plain_line(note));
    }
  }
}

void Progress::finish(std::string_view note) {
  const std::lock_guard lock(state_->mutex);
  if (state_->finished) return;
  state_->finished = true;
  sinks::hide_live(state_.get());
  sinks::message(sinks::Level::kInfo, state_->last_line(note));
}

}  // namespace littlebit
