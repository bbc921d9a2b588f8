// Scores taken during a run, on the tasks the session prepared once.
#pragma once

#include <cstdint>
#include <string>

#include "littlebit/models/decoder.h"
#include "run_record.h"
#include "session.h"

namespace littlebit {

// Runs every task on `decoder` and appends their scores to the record, all of them or, where one
// throws, none. `model`: kTeacherModel or kStudentModel.
void score_model(const Session& session, const Decoder& decoder, const std::string& model,
                 int64_t step, RunRecord& record);

inline void score_student(const Session& session, int64_t step, RunRecord& record) {
  score_model(session, session.student->decoder(), kStudentModel, step, record);
}

}  // namespace littlebit
