// Scores taken during a run, on the tasks the session prepared once.
#pragma once

#include <cstdint>
#include <string>

#include "littlebit/models/decoder.h"
#include "run_record.h"
#include "session.h"

namespace littlebit {

// Runs every task on `decoder` and appends their scores to the record: all of them, or none where a
// task throws or some process was asked to stop (false, in all processes). `model`: kTeacherModel
// or kStudentModel.
[[nodiscard]] bool evaluate_model(const Session& session, const Decoder& decoder,
                                  const std::string& model, int64_t step, RunRecord& record);

[[nodiscard]] inline bool score_student(const Session& session, const TrainedModel& model,
                                        int64_t step, RunRecord& record) {
  return evaluate_model(session, model.student->decoder(), kStudentModel, step, record);
}

// What a stop ends with where there is no state yet, or none that is new: an Error of kStopped.
[[noreturn]] void end_stopped_score(Communicator& processes);

}  // namespace littlebit
