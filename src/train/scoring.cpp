// See scoring.h.
#include "scoring.h"

#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {

void score_model(const Session& session, const Decoder& decoder, const std::string& model,
                 int64_t step, RunRecord& record) {
  std::vector<Score> scores;
  for (const auto& task : session.tasks) {
    const TaskResult result = task->run(decoder, {});
    const auto& [unit, amount] = result.counts.front();
    scores.push_back(make_score(result, model, step));
    log_info(model + " " + scores.back().metric + " " + format_digits(scores.back().value, 4) +
             " on " + result.task + " (" + result.protocol + ", " + format_count(amount) + " " +
             unit + ")" + (model == kStudentModel ? " after step " + std::to_string(step) : ""));
  }
  for (Score& score : scores) record.append(std::move(score));
}

}  // namespace littlebit
