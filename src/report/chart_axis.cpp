// Places and round labels on linear, logarithmic and step axes. A value that is not finite, or
// outside the axis, has no place (NaN).
#include "chart_axis.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "html.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// 1, 2 or 5 times a power of ten, the next one above `rough`.
double round_step(double rough) {
  const double power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (rough <= factor * power * 1.0001) return factor * power;
  }
  return 10 * power;
}

// All labels of one axis in one notation, with the digits that tell them apart.
std::string even_label(double value, double step, double largest) {
  if (largest >= 1e7 || largest < 1e-3) {
    if (value == 0) return "0";
    const double digits = 1 + std::floor(std::log10(largest)) - std::floor(std::log10(step));
    return scientific_text(value, static_cast<int>(std::clamp(digits, 1.0, 9.0)));
  }
  const int decimals = std::clamp(static_cast<int>(-std::floor(std::log10(step))), 0, 12);
  if (decimals == 0) return format_count(std::llround(value));
  return format_fixed(value, decimals);
}

std::string step_label(double value, double largest) {
  if (largest >= 1e6) return format_digits(value / 1e6, 12) + "M";
  return format_count(std::llround(value));
}

}  // namespace

bool plottable(double value) { return std::isfinite(value) && std::abs(value) <= 1e100; }

Axis Axis::linear(double low, double high) {
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low <= 1e-9 * size || size < 1e-100) {  // one value
    const double around = size < 1e-100 ? 1 : 0.1 * size;
    return Axis(low - around, high + around, false, false);
  }
  const double margin = 0.05 * (high - low);
  const bool from_zero = low >= 0 && low < 0.5 * high;
  return Axis(from_zero ? 0 : low - margin, high + margin, false, false);
}

Axis Axis::logarithmic(double low, double high) {
  const double from = std::log10(low), to = std::log10(high);
  const double margin = to - from < 0.01 ? 0.1 : 0.05 * (to - from);
  return Axis(from - margin, to + margin, true, false);
}

Axis Axis::steps(double first, double last) {
  if (last - first < 1) return Axis(first - 1, first + 1, false, true);
  return Axis(first, last, false, true);
}

double Axis::place(double value) const {
  if (!plottable(value) || (logarithmic_ && value <= 0)) return kNan;
  const double place = ((logarithmic_ ? std::log10(value) : value) - low_) / (high_ - low_);
  return place > -1e-9 && place < 1 + 1e-9 ? place : kNan;
}

std::vector<double> Axis::even_ticks(double low, double high) const {
  double step = round_step((high - low) / 5);
  if (integers_) step = std::max(step, 1.0);
  std::vector<double> values;
  const double first = std::ceil(low / step - 1e-6);
  for (int i = 0; i < 9; ++i) {
    const double value = (first + i) * step;
    if (value > high + 1e-6 * step) break;
    values.push_back(value == 0 ? 0 : value);  // no -0
  }
  return values;
}

std::vector<double> Axis::tick_values() const {
  if (!logarithmic_) return even_ticks(low_, high_);
  const int stride = std::max(1, static_cast<int>(std::ceil((high_ - low_) / 6)));
  const std::vector<std::vector<double>> mantissas = {{1}, {1, 3}, {1, 2, 5}};
  for (const std::vector<double>& set : mantissas) {
    std::vector<double> values;
    const int first = static_cast<int>(std::floor(low_));
    for (int exponent = first; exponent <= high_; ++exponent) {
      if (exponent % stride != 0) continue;
      for (const double mantissa : set) {
        const double at = exponent + std::log10(mantissa);
        if (at >= low_ && at <= high_) values.push_back(mantissa * std::pow(10, exponent));
      }
    }
    if (values.size() >= 3) return values;
  }
  return even_ticks(std::pow(10, low_), std::pow(10, high_));
}

std::vector<Axis::Tick> Axis::ticks() const {
  const std::vector<double> values = tick_values();
  double largest = 0, step = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::abs(values[i]));
    if (i > 0) step = std::min(step, values[i] - values[i - 1]);
  }
  const bool even = !logarithmic_ || values.size() < 3 ||
                    std::abs(values[2] - values[1] - (values[1] - values[0])) < 1e-6 * step;
  std::vector<Tick> ticks;
  for (const double value : values) {
    const std::string label = integers_                   ? step_label(value, largest)
                              : even && values.size() > 1 ? even_label(value, step, largest)
                                                          : number_text(value);
    ticks.push_back({place(value), label});
  }
  return ticks;
}

}  // namespace littlebit
