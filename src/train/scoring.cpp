// Every process scores its batches of each task. One that is asked to stop ends the task in all.
#include "scoring.h"

#include <optional>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/logging/console.h"

namespace littlebit {

namespace {

// Nothing where a stop was requested.
std::optional<TaskResult> run_task(const EvalTask& task, const Decoder& decoder,
                                   const BatchSharing& sharing, Communicator& processes) {
  try {
    return task.run(decoder, {}, sharing);
  } catch (const NumericsError&) {  // of the sums, which all processes have
    in_all(processes, [] { throw; });
    throw;
  } catch (const Error& error) {
    if (error.code() != ExitCode::kStopped) throw;
    return std::nullopt;
  }
}

}  // namespace

bool evaluate_model(const Session& session, const Decoder& decoder, const std::string& model,
                    int64_t step, RunRecord& record) {
  Communicator& processes = *session.processes;
  processes.enter("a score after step " + std::to_string(step), kLongSeconds);
  const BatchSharing sharing(processes, /*divides=*/!decoder.is_collective());
  std::vector<Score> scores;
  for (const auto& task : session.tasks) {
    const std::optional<TaskResult> done = run_task(*task, decoder, sharing, processes);
    if (!done) return false;  // in all processes
    const TaskResult& result = *done;
    const auto& [unit, amount] = result.counts.front();
    scores.push_back(make_score(result, model, step));
    log_info(model + " " + scores.back().metric + " " + format_digits(scores.back().value, 4) +
             " on " + result.task + " (" + result.protocol + ", " + format_count(amount) + " " +
             unit + ")" + (model == kStudentModel ? " after step " + std::to_string(step) : ""));
  }
  for (Score& score : scores) record.append(std::move(score));
  return true;
}

void end_stopped_score(Communicator& processes) {
  const Error stopped(ExitCode::kStopped, "stopped before everything was scored");
  in_all(processes, [&] { throw stopped; });
  throw stopped;  // not reached
}

}  // namespace littlebit
