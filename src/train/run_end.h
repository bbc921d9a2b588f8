// The end of a run: stopped with its state saved, or finished with scores, exports and summary.
#pragma once

#include "littlebit/core/error.h"
#include "littlebit/core/stopwatch.h"
#include "loop.h"
#include "run_folder.h"
#include "run_record.h"
#include "session.h"

namespace littlebit {

// Of a run that a signal or train.stop_after ended: the report, and how to go on. kStopped or
// kDone.
ExitCode stop_run(const Session& session, const TrainedModel& model, const RunFolder& folder,
                  RunRecord& record, const LoopResult& result, const Stopwatch& since_start);

// Last scores, exports, report. kDone.
ExitCode finish_run(const Prepared& prepared, const TrainedModel& model, const RunFolder& folder,
                    RunRecord& record, const LoopResult& result, const Stopwatch& since_start);

}  // namespace littlebit
