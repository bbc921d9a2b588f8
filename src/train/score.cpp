// See score.h.
#include "score.h"

namespace littlebit {
namespace {

constexpr const char* kStudentTags = "eval/";
constexpr const char* kTeacherTags = "teacher/";

}  // namespace

Score make_score(const TaskResult& result, const std::string& model, int64_t step) {
  const auto& [metric, value] = result.metrics.front();
  Score score{.task = result.task,
              .model = model,
              .metric = metric,
              .step = step,
              .value = value,
              .entry = to_json(result)};
  score.entry["step"] = step;
  score.entry["model"] = model;
  score.entry["task"] = result.task;
  score.entry["metric"] = metric;
  return score;
}

Score read_score(Json entry) {
  Score score;
  if (entry.is_object()) {
    const auto text = [&](const char* key, const char* otherwise) {
      const auto found = entry.find(key);
      return found != entry.end() && found->is_string() ? found->get<std::string>() : otherwise;
    };
    score.task = text("task", "");
    score.model = text("model", "");
    score.metric = text("metric", "perplexity");
    const auto step = entry.find("step");
    if (step != entry.end() && step->is_number_integer()) score.step = step->get<int64_t>();
    const auto value = entry.find(score.metric);
    if (value != entry.end() && value->is_number()) score.value = value->get<double>();
  }
  score.entry = std::move(entry);
  return score;
}

std::vector<std::pair<std::string, double>> scalars_of(const Score& score) {
  std::vector<std::pair<std::string, double>> scalars;
  if (!score.entry.is_object()) return scalars;
  const std::string prefix =
      (score.model == kTeacherModel ? kTeacherTags : kStudentTags) + score.task + "/";
  for (const auto& [key, value] : score.entry.items()) {
    if (is_metric(key) && value.is_number()) scalars.emplace_back(prefix + key, value);
  }
  return scalars;
}

bool is_score_tag(const std::string& tag) {
  return tag.starts_with(kStudentTags) || tag.starts_with(kTeacherTags);
}

const Score* best_score(std::span<const Score> scores,
                        const std::function<bool(int64_t step)>& is_kept) {
  const Score* best = nullptr;
  for (const Score& score : scores) {
    if (score.model != kStudentModel || score.step <= 0 || !std::isfinite(score.value)) continue;
    if (!is_kept(score.step)) continue;
    if (best == nullptr) {
      best = &score;
      continue;
    }
    if (score.task != best->task || score.metric != best->metric) continue;
    const bool better =
        lower_is_better(score.metric) ? score.value < best->value : score.value > best->value;
    if (better) best = &score;
  }
  return best;
}

}  // namespace littlebit
