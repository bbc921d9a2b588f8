#include "littlebit/eval/results.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

std::string printed(const char* format, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, format, value);
  return buffer;
}

}  // namespace

Json to_json(const PerplexityResult& result) {
  return {{"protocol", result.protocol}, {"perplexity", result.perplexity},
          {"nll", result.nll},           {"tokens", result.tokens},
          {"chunks", result.chunks},     {"seconds", result.seconds}};
}

void Results::add(const std::string& task, const PerplexityResult& result) {
  tasks_.emplace_back(task, result);
}

Json Results::to_json() const {
  Json tasks = Json::object();
  for (const auto& [task, result] : tasks_) tasks[task] = littlebit::to_json(result);
  return {{"model", model_}, {"tasks", tasks}};
}

std::string Results::table() const {
  Table table({"task", "protocol", "perplexity", "nll", "tokens", "time"});
  for (const auto& [task, result] : tasks_) {
    table.add({task, result.protocol, printed("%.4f", result.perplexity),
               printed("%.6f", result.nll), format_count(result.tokens),
               format_duration(result.seconds)});
  }
  return table.text();
}

}  // namespace littlebit
