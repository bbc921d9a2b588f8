#include "scoring.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "littlebit/core/strings.h"
#include "littlebit/eval/results.h"
#include "littlebit/logging/console.h"

namespace littlebit {

double score_model(const Session& session, const Decoder& decoder, const std::string& model,
                   int64_t step, Json& scores) {
  double first = 0;
  for (const auto& task : session.tasks) {
    const TaskResult result = task->run(decoder, {});
    const auto& [metric, value] = result.metrics.front();
    char line[256];
    std::snprintf(line, sizeof line, "%s %s %.4g on %s (%s, %s %s)%s", model.c_str(),
                  metric.c_str(), value, result.task.c_str(), result.protocol.c_str(),
                  format_count(result.counts.front().second).c_str(),
                  result.counts.front().first.c_str(),
                  model == "student" ? (" after step " + std::to_string(step)).c_str() : "");
    log_info(line);
    Json entry = to_json(result);
    entry["step"] = step;
    entry["model"] = model;
    entry["task"] = result.task;
    scores.push_back(std::move(entry));
    if (first == 0) first = value;
  }
  return first;
}

}  // namespace littlebit
