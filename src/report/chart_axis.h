// An axis of a chart: where a value lies on it (0 ... 1) and which values are written beside it.
#pragma once

#include <string>
#include <vector>

namespace littlebit {

// Charts show finite values of sane size; others leave a gap.
bool plottable(double value);

class Axis {
 public:
  struct Tick {
    double place;  // 0 ... 1
    std::string label;
  };

  // Both cover [low, high], widened a little; low <= high, plottable, and positive for the second.
  static Axis linear(double low, double high);
  static Axis logarithmic(double low, double high);
  // Steps: not widened, ticks at integers only.
  static Axis steps(double first, double last);

  bool is_logarithmic() const { return logarithmic_; }
  double place(double value) const;  // NaN where the value has no place
  std::vector<Tick> ticks() const;   // two to nine, in ascending order

 private:
  Axis(double low, double high, bool is_log, bool integers)
      : low_(low), high_(high), logarithmic_(is_log), integers_(integers) {}
  std::vector<double> tick_values() const;
  std::vector<double> even_ticks(double low, double high) const;

  double low_, high_;  // logarithms where logarithmic_
  bool logarithmic_, integers_;
};

}  // namespace littlebit
