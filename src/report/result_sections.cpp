// Sections about what came out: the headline with its tiles, the scores, the curves of training.
#include <algorithm>
#include <cmath>

#include "html.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/results.h"
#include "sections.h"
#include "svg_chart.h"

namespace littlebit {
namespace {

std::string tile(std::string_view label, const std::string& value, const std::string& note,
                 bool main = false) {
  return std::string("<div class=\"card tile") + (main ? " main" : "") +
         "\"><div class=\"label\">" + std::string(label) + "</div><div class=\"value\">" + value +
         "</div><div class=\"note\">" + note + "</div></div>\n";
}

std::string times(double factor, const char* what) {
  return std::isfinite(factor) && factor > 0 ? factor_text(factor) + " " + what : "";
}

// A metric's name as a column or a title shows it.
std::string metric_words(const std::string& metric) {
  if (metric == "acc") return "accuracy";
  if (metric == "acc_norm") return "normalised accuracy";
  std::string words = metric;
  std::replace(words.begin(), words.end(), '_', ' ');
  return escaped(words, 100);
}

std::string capitalized(std::string words) {
  if (!words.empty() && words[0] >= 'a' && words[0] <= 'z') words[0] -= 'a' - 'A';
  return words;
}

// Teacher, start and end by the first task's main metric.
std::string score_tiles(const Json& summary, const std::string& metric) {
  const double teacher = number_of(summary, ("teacher_" + metric).c_str());
  std::string tiles;
  const auto add = [&](const std::string& when, const char* label, bool is_student, bool main) {
    const std::string key = when + "_" + metric;
    if (!summary.is_object() || !summary.contains(key)) return;
    const double value = number_of(summary, key.c_str());
    tiles +=
        tile(label, number_text(value),
             is_student ? times(value / teacher, "the teacher's") : metric_words(metric), main);
  };
  add("teacher", "Teacher", false, false);
  add("initial", "Student before training", true, false);
  add("final", "Student after training", true, true);
  return tiles;
}

std::string size_tiles(const Json& bytes) {
  std::string tiles;
  const double packed = number_of(member_of(bytes, "packed"), "total");
  const double teacher = number_of(member_of(bytes, "teacher"), "total");
  if (std::isfinite(packed) && std::isfinite(teacher)) {
    tiles += tile("Size, " + bytes_text(teacher) + " before", bytes_text(packed),
                  times(teacher / packed, "smaller"), true);
  }
  const double stored = number_of(bytes, "stored_bits_per_weight");
  const double formula = number_of(bytes, "formula_bits_per_weight");
  if (std::isfinite(stored)) {
    tiles += tile("Bits per linear weight", number_text(stored),
                  std::isfinite(formula) ? number_text(formula) + " by the paper's formula" : "");
  }
  return tiles;
}

// "finished", or how far it is.
std::string state(const Json& run) {
  const double steps = number_of(run, "steps"), step = number_of(run, "step");
  if (!std::isfinite(steps)) return "";
  if (!std::isfinite(step)) return "<span class=\"state open\">in progress</span>";
  if (step >= steps) return "<span class=\"state\">finished</span>";
  return "<span class=\"state open\">step " + count_text(step) + " of " + count_text(steps) +
         "</span>";
}

std::string facts(const ReportData& data) {
  std::vector<std::string> words;
  const std::string type = text_of(member_of(data.run, "model"), "model_type");
  if (!type.empty()) words.push_back(escaped(type, 100));
  double step = number_of(data.run, "step");
  if (!std::isfinite(step) && !data.metrics.step.empty()) step = data.metrics.step.back();
  if (std::isfinite(step)) words.push_back(count_text(step) + " steps");
  const double tokens = number_of(data.run, "tokens");
  if (std::isfinite(tokens)) words.push_back(count_text(tokens) + " tokens");
  const double seconds = number_of(data.run, "seconds");
  if (std::isfinite(seconds)) words.push_back(format_duration(seconds));
  for (std::string& word : words) word = "<span class=\"whole\">" + word + "</span>";
  return join(words, " &middot; ");
}

std::string task_words(const ReportScore& score) {
  std::string words = escaped(score.task, 200);
  if (!score.protocol.empty()) words += " (" + escaped(score.protocol, 200) + ")";
  return words;
}

// Which checkpoint scored best.
std::string best_words(const ReportData& data) {
  const Json& best = member_of(data.run, "best");
  const double step = number_of(best, "step");
  if (!(step > 0 && step < 1e15)) return "";
  return " Best: " + number_text(number_of(best, "value")) + " after step " + count_text(step) +
         " (checkpoints/step-" + escaped(std::to_string(static_cast<int64_t>(step)), 30) + ").";
}

std::vector<std::string> tasks_of(const ReportData& data) {
  std::vector<std::string> tasks;
  for (const ReportScore& score : data.scores) {
    if (std::find(tasks.begin(), tasks.end(), score.task) == tasks.end() && tasks.size() < 50) {
      tasks.push_back(score.task);
    }
  }
  return tasks;
}

// Scores of one task: the teacher's, the student's in the order of steps.
struct TaskScores {
  const ReportScore* teacher = nullptr;
  std::vector<const ReportScore*> student;
};

TaskScores scores_of(const ReportData& data, const std::string& task) {
  TaskScores found;
  for (const ReportScore& score : data.scores) {
    if (score.task != task) continue;
    if (score.model == "teacher") found.teacher = &score;
    if (score.model == "student") found.student.push_back(&score);
  }
  return found;
}

// The student's curve of every task with this main metric.
std::string score_chart(const ReportData& data, const std::string& metric) {
  struct Curve {
    std::string task;
    std::vector<double> steps, values;
  };
  std::vector<Curve> curves;
  std::vector<double> levels;
  for (const std::string& task : tasks_of(data)) {
    const TaskScores scores = scores_of(data, task);
    if (scores.student.size() < 3 || scores.student.front()->metric != metric) continue;
    Curve curve{.task = task};
    for (const ReportScore* score : scores.student) {
      curve.steps.push_back(score->step);
      curve.values.push_back(score->value);
    }
    curves.push_back(std::move(curve));
    if (scores.teacher) levels.push_back(scores.teacher->value);
  }
  Chart chart{
      .title = capitalized(metric_words(metric)) + " of the student",
      .scale = lower_is_better(metric) ? ChartScale::kLogIfWide : ChartScale::kLinear,
      .dotted = true,
      .level = curves.size() == 1 && levels.size() == 1 ? std::optional(levels[0]) : std::nullopt,
      .level_label = "teacher"};
  for (const Curve& curve : curves) chart.series.push_back({curve.task, curve.steps, curve.values});
  return draw_chart(chart);
}

std::string score_charts(const ReportData& data) {
  std::vector<std::string> metrics;
  for (const ReportScore& score : data.scores) {
    if (std::find(metrics.begin(), metrics.end(), score.metric) == metrics.end() &&
        metrics.size() < 10) {
      metrics.push_back(score.metric);
    }
  }
  std::string charts;
  for (const std::string& metric : metrics) charts += score_chart(data, metric);
  return charts;
}

}  // namespace

std::string headline(const ReportData& data, const std::string& folder_name) {
  const std::string path = text_of(member_of(data.run, "model"), "path");
  const std::string_view name = std::string_view(path).substr(0, path.find_last_not_of('/') + 1);
  const std::string model(name.substr(name.rfind('/') + 1));
  std::string html = "<p class=\"kicker\">LittleBit run " + escaped(folder_name, 200) +
                     "</p>\n<h1>" + escaped(model.empty() ? "Report" : model, 200) + "</h1>\n";
  html += "<p class=\"soft\">" + state(data.run) + facts(data) + "</p>\n";
  const Json& summary = member_of(data.run, "summary");
  const std::string metric = data.scores.empty() ? "perplexity" : data.scores.front().metric;
  const std::string tiles = score_tiles(summary, metric) + size_tiles(member_of(summary, "bytes"));
  if (!tiles.empty()) html += "<div class=\"tiles\">\n" + tiles + "</div>\n";
  if (!data.scores.empty()) {
    html += "<p class=\"soft small\">" + capitalized(metric_words(metric)) + " on " +
            task_words(data.scores.front()) + "; " +
            (lower_is_better(metric) ? "lower" : "higher") + " is better." + best_words(data) +
            "</p>\n";
  }
  return html;
}

std::string score_section(const ReportData& data) {
  HtmlTable table({{"task"},
                   {"metric"},
                   {"teacher", true},
                   {"before", true},
                   {"after", true},
                   {"after / teacher", true},
                   {"scored", true},
                   {"protocol"}});
  const std::vector<std::string> tasks = tasks_of(data);
  if (tasks.size() < 2) return "";  // the headline says it all
  for (const std::string& task : tasks) {
    const TaskScores scores = scores_of(data, task);
    const auto cell = [](const ReportScore* score) {
      if (score == nullptr) return std::string("&ndash;");
      const std::string error =
          std::isfinite(score->error) ? " &plusmn; " + number_text(score->error) : "";
      return number_text(score->value) + error;
    };
    const bool trained = !scores.student.empty() && scores.student.back()->step > 0;
    const ReportScore* before = scores.student.empty() ? nullptr : scores.student.front();
    const ReportScore* after = trained ? scores.student.back() : nullptr;
    if (before && before->step > 0) before = nullptr;
    const ReportScore* any = scores.teacher ? scores.teacher : after ? after : before;
    if (any == nullptr) continue;
    const double ratio = after && scores.teacher ? after->value / scores.teacher->value : NAN;
    table.add({escaped(task, 200), metric_words(any->metric), cell(scores.teacher), cell(before),
               cell(after), factor_text(ratio), count_text(any->amount) + " " + any->unit,
               "<span class=\"soft\">" + escaped(any->protocol, 200) + "</span>"});
  }
  if (table.empty()) return "";
  return section("Scores", "<div class=\"card pad\">" + table.html() + "</div>\n");
}

std::string training_section(const ReportData& data) {
  const MetricColumns& metrics = data.metrics;
  const auto curve = [&](const char* label, const std::vector<double>& values) {
    const bool silent = std::none_of(values.begin(), values.end(), [](double value) {
      return std::isfinite(value) && value != 0;
    });
    return silent ? ChartSeries{label, {}, {}} : ChartSeries{label, metrics.step, values};
  };
  std::string charts =
      draw_chart({.title = "Loss",
                  .series = {curve("total", metrics.loss), curve("KL", metrics.loss_kl),
                             curve("hidden states", metrics.loss_hidden)},
                  .scale = ChartScale::kLogIfWide,
                  .smoothed = true});
  charts += score_charts(data);
  charts += draw_chart({.title = "Gradient norm before clipping",
                        .series = {curve("latest", metrics.grad_norm)},
                        .scale = ChartScale::kLog,
                        .smoothed = true});
  charts += draw_chart({.title = "Latent signs changed by a step",
                        .series = {{"latest", metrics.step, metrics.sign_flip_fraction}},
                        .smoothed = true});
  charts += draw_chart(
      {.title = "Learning rate", .series = {{"latest", metrics.step, metrics.learning_rate}}});
  charts += draw_chart({.title = "Tokens per second",
                        .series = {curve("latest", metrics.tokens_per_second)},
                        .smoothed = true});
  std::vector<ChartSeries> parts;
  for (const auto& [part, seconds] : metrics.part_seconds) {
    parts.push_back(curve(part.c_str(), seconds));
  }
  charts += draw_chart(
      {.title = "Seconds of a step, by part", .series = std::move(parts), .smoothed = true});
  charts += draw_chart({.title = "Matrix products alone, share of a step's time",
                        .series = {curve("latest", metrics.product_share)},
                        .smoothed = true});
  if (charts.empty()) return "";
  return section("Training", "<div class=\"charts\">\n" + charts + "</div>\n");
}

}  // namespace littlebit
