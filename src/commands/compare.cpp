// The command `compare`: several results.json side by side, and whether they can be compared.
#include "littlebit/commands/compare.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "harness_results.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/eval/results.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNotAResult =
    "give files that littlebit-eval wrote with --output, or lm-evaluation-harness with "
    "--output_path";

struct Scores {
  std::string name;  // of its column
  Json json;
  const Json& tasks() const { return json.at("tasks"); }
  const Json* task(const std::string& task_name) const {
    const auto found = tasks().find(task_name);
    return found == tasks().end() ? nullptr : &*found;
  }
};

Scores read_scores(const fs::path& file) {
  Scores scores{.name = file.string(), .json = read_json_file(file)};
  const std::string where = file.string();
  if (is_harness_file(scores.json)) scores.json = from_harness(scores.json);
  if (!scores.json.is_object() || !scores.json.contains("tasks") || !scores.tasks().is_object()) {
    throw InputError(where + " is not a results.json: it has no object \"tasks\"", kNotAResult);
  }
  for (const auto& [task, entry] : scores.tasks().items()) {
    if (!entry.is_object() || !entry.value("protocol", Json()).is_string()) {
      throw InputError(where + ": task " + task + " has no protocol", kNotAResult);
    }
  }
  return scores;
}

// Columns by file name where these differ, else by path.
void name_columns(std::vector<Scores>& files) {
  const auto stem = [](const Scores& scores) { return fs::path(scores.name).stem().string(); };
  for (size_t i = 0; i < files.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      if (stem(files[i]) == stem(files[k])) return;
    }
  }
  for (Scores& scores : files) scores.name = stem(scores);
}

std::optional<double> number_in(const Json* task, const std::string& key) {
  if (task == nullptr) return std::nullopt;
  const auto found = task->find(key);
  if (found == task->end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::string four_decimals(double value) { return format_fixed(value, 4); }

// `error` may be NaN: there is none.
std::string with_error(const std::string& value, double error) {
  return value + (std::isfinite(error) ? " \u00b1 " + four_decimals(error) : "");
}

// The metrics of a task, in the order in which they are written.
std::vector<std::string> metrics_of(const Json& task) {
  std::vector<std::string> names;
  for (const auto& [name, value] : task.items()) {
    if (!value.is_number()) continue;
    if (is_metric(name) || is_harness_metric(task, name)) names.push_back(name);
  }
  return names;
}

// What makes two scores of one task two different things.
void warn_of_differences(const std::string& task, const Scores& first, const Scores& other) {
  const Json &a = *first.task(task), &b = *other.task(task);
  const auto word = [](const Json& entry, const char* key) {
    return entry.value(key, Json()).is_string() ? entry.at(key).get<std::string>() : std::string();
  };
  const std::string pair = task + ": " + first.name + " and " + other.name;
  if (!same_protocol(word(a, "protocol"), word(b, "protocol"))) {
    log_warning(pair + " have different protocols, " + word(a, "protocol") + " and " +
                word(b, "protocol") + "; their figures cannot be compared");
  }
  const bool both = !word(a, "data_hash").empty() && !word(b, "data_hash").empty();
  if (both && word(a, "data_hash") != word(b, "data_hash")) {
    log_warning(pair + " were scored on different data: " + word(a, "data") + " and " +
                word(b, "data"));
  }
  for (const char* key : {"documents", "chunks"}) {
    const auto x = number_in(&a, key), y = number_in(&b, key);
    if (x && y && *x != *y) {
      log_warning(pair + " have " + format_fixed(*x, 0) + " and " + format_fixed(*y, 0) + " " +
                  key);
    }
  }
}

// A line per metric: every file's value, and against the first its difference and, of what is
// positive and unbounded, its ratio.
void add_rows(const std::string& task, const std::vector<Scores>& files, Table& table) {
  const Json& first = *files.front().task(task);
  for (const std::string& metric : metrics_of(first)) {
    const auto error_of = [&](const Json* entry) {
      return number_in(entry, metric + "_stderr").value_or(NAN);
    };
    const double base = first.at(metric).get<double>();
    std::vector<std::string> row = {task, metric,
                                    with_error(four_decimals(base), error_of(&first))};
    for (size_t i = 1; i < files.size(); ++i) {
      const Json* entry = files[i].task(task);
      const std::optional<double> value = number_in(entry, metric);
      if (!value) {
        row.insert(row.end(), {"-", "-", "-"});
        continue;
      }
      const double a = error_of(&first), b = error_of(entry);
      const double more = *value - base;
      row.push_back(with_error(four_decimals(*value), b));
      row.push_back(
          with_error((std::signbit(more) ? "" : "+") + four_decimals(more), std::hypot(a, b)));
      row.push_back(base > 0 ? four_decimals(*value / base) : "-");
    }
    table.add(std::move(row));
  }
}

}  // namespace

int run_compare(const std::vector<fs::path>& paths) {
  if (paths.size() < 2) {
    throw UsageError("compare needs two or more results files",
                     "littlebit-eval compare a.json b.json");
  }
  std::vector<Scores> files;
  for (const fs::path& path : paths) files.push_back(read_scores(path));
  name_columns(files);

  std::vector<std::string> header = {"task", "metric", files.front().name};
  for (size_t i = 1; i < files.size(); ++i) {
    header.insert(header.end(), {files[i].name, "difference", "ratio"});
  }
  Table table(header, {0, 1});
  bool any = false;
  for (const auto& [task, entry] : files.front().tasks().items()) {
    for (size_t i = 1; i < files.size(); ++i) {
      if (files[i].task(task) == nullptr) {
        log_warning(task + " is not in " + files[i].name);
        continue;
      }
      any = true;
      warn_of_differences(task, files.front(), files[i]);
    }
    add_rows(task, files, table);
  }
  for (size_t i = 1; i < files.size(); ++i) {
    for (const auto& [task, entry] : files[i].tasks().items()) {
      if (files.front().task(task) == nullptr) {
        log_warning(task + " is only in " + files[i].name);
      }
    }
  }
  if (!any) {
    throw InputError("the files have no task in common", "score both models on the same tasks");
  }
  std::fputs(table.markdown().c_str(), stdout);
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace littlebit
