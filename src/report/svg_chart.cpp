// Thins, scales and draws series as SVG. The number of points drawn is bounded, whatever the length
// of the run.
#include "svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "chart_axis.h"
#include "html.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

constexpr size_t kMaxPoints = 2000;  // a longer series is thinned
constexpr size_t kStretches = 500;
constexpr size_t kTrendFrom = 200, kTrendStretches = 120;
constexpr size_t kMaxSeries = 8;  // colours of the style sheet
constexpr double kUnits = 1000;   // the SVG's width and height in its own units

struct Point {
  double x = 0, y = 0;  // 0 ... 1 from the lower left; y NaN: the line is broken here
};

std::vector<Point> places(const ChartSeries& series, const Axis& x, const Axis& y) {
  std::vector<Point> points;
  points.reserve(series.values.size());
  for (size_t i = 0; i < series.values.size(); ++i) {
    points.push_back({x.place(series.steps[i]), y.place(series.values[i])});
  }
  return points;
}

// Calls `use` with each of `count` stretches of the points.
template <class Use>
void for_stretches(std::span<const Point> points, size_t count, const Use& use) {
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = points.size() * i / count, end = points.size() * (i + 1) / count;
    use(points.subspan(begin, end - begin));
  }
}

std::vector<Point> thinned(std::span<const Point> points) {
  if (points.size() <= kMaxPoints) return {points.begin(), points.end()};
  std::vector<Point> kept;
  for_stretches(points, kStretches, [&](std::span<const Point> stretch) {
    std::array<const Point*, 4> marks{};  // first, lowest, highest, last
    for (const Point& point : stretch) {
      if (std::isnan(point.y)) continue;
      if (marks[0] == nullptr) marks.fill(&point);
      if (point.y < marks[1]->y) marks[1] = &point;
      if (point.y > marks[2]->y) marks[2] = &point;
      marks[3] = &point;
    }
    if (marks[0] == nullptr) {
      kept.push_back(stretch.front());
      return;
    }
    std::sort(marks.begin(), marks.end());  // they lie in one array
    for (size_t i = 0; i < marks.size(); ++i) {
      if (i == 0 || marks[i] != marks[i - 1]) kept.push_back(*marks[i]);
    }
  });
  return kept;
}

std::vector<Point> trend(std::span<const Point> points) {
  std::vector<Point> means;
  for_stretches(points, std::min(kTrendStretches, points.size() / 8),
                [&](std::span<const Point> stretch) {
                  Point sum;
                  double count = 0;
                  for (const Point& point : stretch) {
                    if (std::isnan(point.y)) continue;
                    sum.x += point.x;
                    sum.y += point.y;
                    ++count;
                  }
                  means.push_back(count > 0 ? Point{sum.x / count, sum.y / count} : Point{0, NAN});
                });
  return means;
}

std::string coordinates(const Point& point) {
  return format_fixed(kUnits * point.x, 1) + " " + format_fixed(kUnits * (1 - point.y), 0);
}

// The `d` of a path. A value alone between gaps becomes a dot.
std::string path_data(std::span<const Point> points) {
  std::string data, last;
  bool open = false, alone = false;
  for (const Point& point : points) {
    if (std::isnan(point.y)) {
      if (alone) data += "h0";
      open = alone = false;
      continue;
    }
    const std::string at = coordinates(point);
    if (open && at == last) continue;
    data += (open ? "L" : "M") + at;
    alone = !open;
    open = true;
    last = at;
  }
  return alone ? data + "h0" : data;
}

std::string path(std::string_view css_class, size_t color, const std::string& data) {
  if (data.empty()) return "";
  return "<path class=\"" + std::string(css_class) + "\" stroke=\"var(--c" + std::to_string(color) +
         ")\" d=\"" + data + "\"/>\n";
}

std::string dots(const ChartSeries& series, std::span<const Point> points, size_t color) {
  std::string html;
  for (size_t i = 0; i < points.size(); ++i) {
    if (std::isnan(points[i].y)) continue;
    html += "<path class=\"dot\" stroke=\"var(--c" + std::to_string(color) + ")\" d=\"M" +
            coordinates(points[i]) + "h0\"><title>" + escaped(series.label) + ", step " +
            count_text(series.steps[i]) + ": " + escaped(number_text(series.values[i])) +
            "</title></path>\n";
  }
  return html;
}

std::string draw_series(const Chart& chart, const ChartSeries& series, const Axis& x, const Axis& y,
                        size_t color) {
  const std::vector<Point> all = places(series, x, y);
  const std::string line = path_data(thinned(all));
  if (chart.smoothed && all.size() >= kTrendFrom) {
    return path("faint", color, line) + path("trend", color, path_data(trend(all)));
  }
  std::string html = path("line", color, line);
  if (chart.dotted && all.size() <= 200) html += dots(series, all, color);
  return html;
}

std::string css_percent(double fraction) { return format_fixed(100 * fraction, 2) + "%"; }

std::string grid_line(double y, const char* css_class) {
  return "<path class=\"" + std::string(css_class) + "\" d=\"M" + coordinates({0, y}) + "H1000\"/>";
}

std::string last_value(const ChartSeries& series) {
  for (size_t i = series.values.size(); i-- > 0;) {
    if (std::isfinite(series.values[i])) return number_text(series.values[i]);
  }
  return "";
}

// What the axes must cover.
struct Extent {
  double first = INFINITY, last = -INFINITY;      // steps
  double lowest = INFINITY, highest = -INFINITY;  // values
  double least_positive = INFINITY;

  void add(double value) {
    if (!plottable(value)) return;
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
    if (value > 1e-100) least_positive = std::min(least_positive, value);
  }
};

Extent extent_of(const Chart& chart) {
  Extent extent;
  for (const ChartSeries& series : chart.series) {
    LB_ASSERT(series.steps.size() == series.values.size(), "a value per step");
    for (size_t i = 0; i < series.values.size(); ++i) {
      if (!plottable(series.values[i])) continue;
      extent.first = std::min(extent.first, series.steps[i]);
      extent.last = std::max(extent.last, series.steps[i]);
      extent.add(series.values[i]);
    }
  }
  if (chart.level) extent.add(*chart.level);
  return extent;
}

Axis value_axis(const Extent& extent, ChartScale scale) {
  const bool possible = std::isfinite(extent.least_positive);
  const bool wide = possible && extent.highest >= 10 * extent.least_positive;
  if (possible && (scale == ChartScale::kLog || (scale == ChartScale::kLogIfWide && wide))) {
    return Axis::logarithmic(extent.least_positive, extent.highest);
  }
  return Axis::linear(extent.lowest, extent.highest);
}

bool has_values(const ChartSeries& series) {
  return std::any_of(series.values.begin(), series.values.end(), plottable);
}

}  // namespace

std::string draw_chart(const Chart& chart) {
  Chart shown = chart;
  std::erase_if(shown.series, [](const ChartSeries& series) { return !has_values(series); });
  if (shown.series.empty()) return "";
  if (shown.series.size() > kMaxSeries) shown.series.resize(kMaxSeries);
  if (shown.level && !plottable(*shown.level)) shown.level.reset();

  const Extent extent = extent_of(shown);
  const Axis x = Axis::steps(extent.first, extent.last), y = value_axis(extent, shown.scale);
  std::string legend, curves, lines, labels;
  for (size_t i = 0; i < shown.series.size(); ++i) {
    const ChartSeries& series = shown.series[i];
    legend += "<span><span class=\"key\" style=\"color:var(--c" + std::to_string(i) +
              ")\"></span>" + escaped(series.label) + " <b>" + last_value(series) + "</b></span>";
    curves += draw_series(shown, series, x, y, i);
  }
  if (shown.level) {
    const double place = y.place(*shown.level);
    legend += "<span><span class=\"key dash\" style=\"color:var(--c7)\"></span>" +
              escaped(shown.level_label) + " <b>" + number_text(*shown.level) + "</b></span>";
    if (!std::isnan(place)) {
      curves += path("dashed", 7, path_data(std::array{Point{0, place}, Point{1, place}}));
    }
  }
  if (y.is_logarithmic()) legend += "<span>log scale</span>";
  for (const Axis::Tick& tick : y.ticks()) {
    lines += grid_line(tick.place, "grid");
    labels += "<span class=\"y\" style=\"top:" + css_percent(1 - tick.place) + "\">" + tick.label +
              "</span>";
  }
  for (const Axis::Tick& tick : x.ticks()) {
    labels += "<span class=\"x\" style=\"left:" + css_percent(tick.place) + "\">" + tick.label +
              "</span>";
  }
  return "<figure class=\"card chart\"><figcaption><h3>" + escaped(shown.title) +
         "</h3><div class=\"legend\">" + legend + "</div></figcaption>\n<div class=\"plot\">" +
         "<svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"" +
         escaped(shown.title) + " over training steps\">" + lines + grid_line(0, "base") + "\n" +
         curves + "</svg>" + labels + "<span class=\"unit\">step</span></div></figure>\n";
}

}  // namespace littlebit
