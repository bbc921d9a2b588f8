// Reads a run's files for the report, with limits on lines and files. What is damaged becomes a
// note and never an exception.
#include "run_data.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string_view>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/report/run_files.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMaxBytesOfLine = 1 << 20;
constexpr size_t kMaxBytesOfFile = 64 << 20;  // of run.json and config.yaml
constexpr size_t kMaxLayers = 20000, kMaxOptions = 5000, kMaxParts = 20;

std::string_view text_in(const MappedFile& file) {
  const auto bytes = file.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Calls `use` with the mapped file, where there is one; what it throws becomes a note.
template <class Use>
void with_file(const fs::path& path, ReportData* data, const Use& use) {
  if (!path_exists(path)) return;
  try {
    const MappedFile file(path);
    use(text_in(file));
  } catch (const Error& failure) {
    data->notes.push_back(failure.what());
  }
}

// Calls `use` with each object of a file of JSON lines and the number of objects before it.
template <class Use>
void for_json_lines(const fs::path& path, ReportData* data, const Use& use) {
  with_file(path, data, [&](std::string_view rest) {
    int64_t number = 0, used = 0, bad = 0;
    std::string first_reason;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      ++number;
      if (trim(line).empty()) continue;
      try {
        const std::string source = path.filename().string();
        if (line.size() > kMaxBytesOfLine) throw InputError(source + ": a line is too long");
        const Json object = parse_json(line, source, number);
        if (!object.is_object()) throw InputError(source + ": a line is not a JSON object");
        use(object, used++);
      } catch (const Error& failure) {
        if (bad++ == 0) first_reason = failure.what();
      }
    }
    if (bad > 0) {
      data->notes.push_back(format_count(bad) + " line" + (bad > 1 ? "s" : "") + " of " +
                            path.filename().string() + " skipped: " + first_reason);
    }
  });
}

void read_metrics(const fs::path& path, ReportData* data) {
  MetricColumns columns;
  const auto column_of_key = {std::pair{&MetricColumns::loss, metric_key::kLoss},
                              {&MetricColumns::loss_kl, metric_key::kLossKl},
                              {&MetricColumns::loss_hidden, metric_key::kLossHidden},
                              {&MetricColumns::learning_rate, metric_key::kLearningRate},
                              {&MetricColumns::grad_norm, metric_key::kGradNorm},
                              {&MetricColumns::sign_flip_fraction, metric_key::kSignFlipFraction},
                              {&MetricColumns::tokens_per_second, metric_key::kTokensPerSecond},
                              {&MetricColumns::product_share, metric_key::kProductShare}};
  for_json_lines(path, data, [&](const Json& object, int64_t) {
    const double step = number_of(object, metric_key::kStep);
    if (!(std::abs(step) <= 1e15)) throw InputError(path.filename().string() + ": no `step`");
    columns.step.push_back(step);
    for (const auto& [column, key] : column_of_key) {
      (columns.*column).push_back(number_of(object, key));
    }
    // Parts are called as the file calls them; one that comes late has no numbers before.
    const Json& parts = member_of(object, metric_key::kSecondsByPart);
    if (parts.is_object()) {
      for (const auto& [part, value] : parts.items()) {
        if (columns.part_seconds.size() < kMaxParts) columns.part_seconds[part];
      }
    }
    for (auto& [part, seconds] : columns.part_seconds) {
      seconds.resize(columns.step.size() - 1, kNan);
      seconds.push_back(number_of(parts, part.c_str()));
    }
  });
  // In the order of steps already, unless lines were moved by hand.
  if (!std::is_sorted(columns.step.begin(), columns.step.end())) {
    std::vector<size_t> order(columns.step.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return columns.step[a] < columns.step[b]; });
    const auto reorder = [&](std::vector<double>* column) {
      std::vector<double> sorted;
      sorted.reserve(order.size());
      for (const size_t i : order) sorted.push_back((*column)[i]);
      *column = std::move(sorted);
    };
    for (const auto& [column, key] : column_of_key) reorder(&(columns.*column));
    for (auto& [part, seconds] : columns.part_seconds) reorder(&seconds);
    reorder(&columns.step);
  }
  data->metrics = std::move(columns);
}

void read_layers(const fs::path& path, ReportData* data) {
  for_json_lines(path, data, [&](const Json& object, int64_t index) {
    if (index >= static_cast<int64_t>(kMaxLayers)) throw InputError("more layers than shown");
    ReportLayer layer{.name = text_of(object, "name")};
    layer.kind = layer.name.substr(layer.name.rfind('.') + 1);  // npos + 1 = 0
    const Json& shape = member_of(object, "shape");
    const bool sized =
        shape.is_array() && shape.size() == 2 && shape[0].is_number() && shape[1].is_number();
    layer.d_out = sized ? shape[0].get<double>() : kNan;
    layer.d_in = sized ? shape[1].get<double>() : kNan;
    layer.rank = number_of(object, "rank");
    layer.paths = number_of(object, "paths");
    layer.bits = number_of(object, "bits");
    layer.relative_error = number_of(object, "relative_error");
    layer.seconds = number_of(object, "seconds");
    layer.at_floor = member_of(object, "at_floor") == Json(true);
    layer.at_cap = member_of(object, "at_cap") == Json(true);
    data->layers.push_back(std::move(layer));
  });
}

void read_run(const fs::path& path, ReportData* data) {
  with_file(path, data, [&](std::string_view text) {
    const std::string source = path.filename().string();
    if (text.size() > kMaxBytesOfFile) throw InputError(source + " is too long to be a run's");
    Json run = parse_json(text, source);
    if (!run.is_object()) throw InputError(source + " is not a JSON object");
    data->run = std::move(run);
  });
  const Json& scores = member_of(data->run, "scores");
  if (!scores.is_array()) return;
  for (const Json& entry : scores) {
    const double step = number_of(entry, "step");
    if (!(step >= 0 && step <= 1e15)) continue;
    std::string metric = text_of(entry, "metric");
    if (metric.empty()) metric = entry.contains("acc") ? "acc" : "perplexity";
    const char* unit = std::isfinite(number_of(entry, "documents")) ? "documents" : "tokens";
    data->scores.push_back({.task = text_of(entry, "task"),
                            .model = text_of(entry, "model"),
                            .protocol = text_of(entry, "protocol"),
                            .metric = metric,
                            .unit = unit,
                            .step = step,
                            .value = number_of(entry, metric.c_str()),
                            .error = number_of(entry, (metric + "_stderr").c_str()),
                            .amount = number_of(entry, unit)});
  }
  std::stable_sort(data->scores.begin(), data->scores.end(),
                   [](const ReportScore& a, const ReportScore& b) { return a.step < b.step; });
}

// config.yaml as the option tree prints it: sections, options at two spaces, the records of a list
// at four and six. A line each, with "  # origin" behind the value.
class ConfigReader {
 public:
  // false where a line has another form.
  bool add(std::string_view line) {
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    std::string_view rest = line.substr(indent);
    if (rest.empty()) return true;
    ReportOption option;
    const size_t mark = rest.rfind("  # ");
    if (mark != std::string_view::npos) {
      option.origin = trim(rest.substr(mark + 4));
      rest = rest.substr(0, mark);
    }
    std::string prefix;
    if (indent == 2) {
      prefix = section_ + ".";
      list_.clear();
    } else if (indent == 4 && rest.starts_with("- ") && !list_.empty()) {
      rest.remove_prefix(2);
      prefix = list_ + "[" + std::to_string(++record_) + "].";
    } else if (indent == 6 && record_ >= 0) {
      prefix = list_ + "[" + std::to_string(record_) + "].";
    } else if (indent != 0) {
      return false;
    }
    const size_t colon = rest.find(':');
    if (colon == std::string_view::npos || colon == 0) return false;
    const std::string name(rest.substr(0, colon));
    option.key = prefix + name;
    option.value = trim(rest.substr(colon + 1));
    if (indent == 0) {
      section_ = option.value.empty() ? name : "";
      list_.clear();
      record_ = -1;
      if (option.value.empty()) return true;
    }
    if (section_.empty() && indent != 0) return false;
    if (indent == 2) {
      list_ = option.value.empty() ? option.key : "";
      record_ = -1;
      if (option.value.empty()) return true;
    }
    options.push_back(std::move(option));
    return options.size() <= kMaxOptions;
  }

  std::vector<ReportOption> options;

 private:
  std::string section_, list_;
  int record_ = -1;
};

void read_config(const fs::path& path, ReportData* data) {
  with_file(path, data, [&](std::string_view text) {
    if (text.size() > kMaxBytesOfFile) {
      throw InputError(path.filename().string() + " is too long to be a configuration");
    }
    ConfigReader reader;
    for (const std::string& line : split(text, '\n')) {
      if (reader.add(line)) continue;
      data->config_text = text;
      return;
    }
    data->options = std::move(reader.options);
  });
}

}  // namespace

const Json& member_of(const Json& object, const char* key) {
  static const Json kNull;
  const auto found = object.find(key);  // end() where `object` is no object
  return found == object.end() ? kNull : *found;
}

double number_of(const Json& object, const char* key) {
  const Json& value = member_of(object, key);
  return value.is_number() ? value.get<double>() : kNan;
}

std::string text_of(const Json& object, const char* key) {
  const Json& value = member_of(object, key);
  return value.is_string() ? value.get<std::string>() : "";
}

ReportData read_report_data(const fs::path& run_folder) {
  const RunFiles folder(run_folder);
  ReportData data;
  read_run(folder.run_json(), &data);
  read_metrics(folder.metrics(), &data);
  read_layers(folder.factorization(), &data);
  read_config(folder.config(), &data);
  return data;
}

}  // namespace littlebit
