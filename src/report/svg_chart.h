// A line chart over training steps as a <figure>: the curves are one inline SVG that stretches with
// the page, the words around it are HTML and keep their size.
//
// Long runs are thinned: of each stretch of steps the first, last, smallest and largest value stay.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace littlebit {

struct ChartSeries {
  std::string label;
  std::span<const double> steps;   // ascending
  std::span<const double> values;  // as many; NaN leaves a gap
};

enum class ChartScale { kLinear, kLog, kLogIfWide };  // wide: over a factor of ten or more

struct Chart {
  std::string title;
  std::vector<ChartSeries> series;  // up to eight; those without a value are left out
  ChartScale scale = ChartScale::kLinear;
  bool smoothed = false;        // many values are drawn faintly, with their mean over them
  bool dotted = false;          // a dot at every value
  std::optional<double> level;  // a dashed line across, outside the series
  std::string level_label;
};

// "" where there is nothing to draw.
std::string draw_chart(const Chart& chart);

}  // namespace littlebit
