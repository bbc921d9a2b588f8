// Scores as JSON and as a Markdown table. Metrics and counts keep the order in which a task gave
// them; a metric's standard error stands beside it and not as a metric of its own.
#include "littlebit/eval/results.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/table.h"

namespace littlebit {
namespace {

constexpr std::string_view kStandardError = "_stderr";

template <class Value>
const Value* find(const std::vector<std::pair<std::string, Value>>& values, std::string_view name) {
  for (const auto& [key, value] : values) {
    if (key == name) return &value;
  }
  return nullptr;
}

template <class Value>
Value require(const std::vector<std::pair<std::string, Value>>& values, std::string_view name) {
  const Value* value = find(values, name);
  LB_ASSERT(value != nullptr, "a metric that the task does not have");
  return *value;
}

}  // namespace

double TaskResult::metric(std::string_view name) const { return require(metrics, name); }
int64_t TaskResult::count(std::string_view name) const { return require(counts, name); }

bool lower_is_better(std::string_view metric) {
  return metric.ends_with("perplexity") || metric == "nll" || metric == "kl" ||
         metric == "bits_per_byte";
}

bool is_metric(std::string_view name) {
  return lower_is_better(name) || name == "acc" || name == "acc_norm";
}

Json to_json(const TaskResult& result) {
  Json entry = {{"protocol", result.protocol}, {"seconds", result.seconds}};
  if (!result.data.empty()) entry["data"] = result.data;
  if (!result.data_hash.empty()) entry["data_hash"] = result.data_hash;
  for (const auto& [name, value] : result.metrics) entry[name] = value;
  for (const auto& [name, value] : result.counts) entry[name] = value;
  return entry;
}

Json Results::to_json() const {
  Json tasks = Json::object();
  for (const TaskResult& result : tasks_) tasks[result.task] = littlebit::to_json(result);
  return {{"model", model_}, {"tasks", tasks}};
}

std::string Results::table() const {
  Table table({"task", "protocol", "metric", "value", "stderr", "scored", "time"},
              {0, 1, 2});  // words to the left, numbers to the right
  for (const TaskResult& result : tasks_) {
    LB_ASSERT(!result.counts.empty(), "a result says how much was scored");
    const auto& [unit, amount] = result.counts.front();
    bool first = true;
    for (const auto& [name, value] : result.metrics) {
      if (name.ends_with(kStandardError)) continue;
      const double* error = find(result.metrics, name + std::string(kStandardError));
      table.add({first ? result.task : "", first ? result.protocol : "", name,
                 format_fixed(value, 4), error ? format_fixed(*error, 4) : "",
                 first ? format_count(amount) + " " + unit : "",
                 first ? format_duration(result.seconds) : ""});
      first = false;
    }
  }
  return table.markdown();
}

}  // namespace littlebit
