// Scores a model on the session's tasks into run.json, and finds the best of the checkpoints that
// still exist by the first task's metric.
#include "scoring.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "littlebit/core/strings.h"
#include "littlebit/eval/results.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

constexpr const char* kStudent = "student";

// One entry of run["scores"], read with patience: another program, or an older one, may have
// written the file.
struct Score {
  std::string task, model, metric;
  int64_t step = -1;
  double value = NAN;
};

Score score_of(const Json& entry) {
  const auto text = [&](const char* key, const char* fallback) {
    const auto found = entry.find(key);
    return found != entry.end() && found->is_string() ? found->get<std::string>() : fallback;
  };
  Score score;
  if (!entry.is_object()) return score;
  score.task = text("task", "");
  score.model = text("model", "");
  score.metric = text("metric", "perplexity");
  score.step = score_step(entry);
  const auto value = entry.find(score.metric);
  if (value != entry.end() && value->is_number()) score.value = value->get<double>();
  return score;
}

}  // namespace

int64_t score_step(const Json& entry) {
  if (!entry.is_object()) return -1;
  const auto step = entry.find("step");
  return step != entry.end() && step->is_number_integer() ? step->get<int64_t>() : -1;
}

void score_model(const Session& session, const Decoder& decoder, const std::string& model,
                 int64_t step, Json& run) {
  for (const auto& task : session.tasks) {
    const TaskResult result = task->run(decoder, {});
    const auto& [metric, value] = result.metrics.front();
    const auto& [unit, amount] = result.counts.front();
    log_info(model + " " + metric + " " + format_digits(value, 4) + " on " + result.task + " (" +
             result.protocol + ", " + format_count(amount) + " " + unit + ")" +
             (model == kStudent ? " after step " + std::to_string(step) : ""));
    Json entry = to_json(result);
    entry["step"] = step;
    entry["model"] = model;
    entry["task"] = result.task;
    entry["metric"] = metric;
    run["scores"].push_back(std::move(entry));
  }
}

void summarize_scores(const std::string& when, const std::string& model, int64_t step, Json& run) {
  Json found = Json::object();
  for (const Json& entry : run["scores"]) {
    const Score score = score_of(entry);
    if (score.model != model || score.step != step) continue;
    const std::string key = when + "_" + score.metric;
    if (!found.contains(key)) found[key] = score.value;
  }
  run["summary"].update(found);
}

std::optional<int64_t> find_best(const std::filesystem::path& checkpoints,
                                 std::optional<int64_t> also, Json& run) {
  std::optional<Score> best;
  for (const Json& entry : run["scores"]) {
    const Score score = score_of(entry);
    if (score.model != kStudent || score.step <= 0 || !std::isfinite(score.value)) continue;
    if (score.step != also && !has_checkpoint(checkpoints, score.step)) continue;
    if (best && (score.task != best->task || score.metric != best->metric)) continue;
    const bool lower = lower_is_better(score.metric);
    if (best && !(lower ? score.value < best->value : score.value > best->value)) continue;
    best = score;
  }
  run.erase("best");
  if (!best) return std::nullopt;
  run["best"] = {
      {"step", best->step}, {"task", best->task}, {"metric", best->metric}, {"value", best->value}};
  return best->step;
}

bool is_scored(int64_t step, const Json& run) {
  for (const Json& entry : run.at("scores")) {
    const Score score = score_of(entry);
    if (score.model == kStudent && score.step == step) return true;
  }
  return false;
}

}  // namespace littlebit
