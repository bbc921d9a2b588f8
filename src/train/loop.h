// The training loop: batches, steps, and what follows a step; it stops between steps.
#pragma once

#include <string>

#include "littlebit/core/stopwatch.h"
#include "run_record.h"
#include "session.h"

namespace littlebit {

struct LoopResult {
  TrainingPosition position;
  std::string stopped_by;  // "SIGTERM", "train.time_limit": what ended it early; the same in all
  bool finished = false;   // the schedule is done; else train.stop_after or stopped_by ended it
};

// Runs steps from model.start on and appends them to the record, which is open. The student is
// scored after every eval.every-th step but the last; where that makes it the best so far, its
// checkpoint is saved and kept. Saves a checkpoint every checkpoint.every steps, every
// checkpoint.every_minutes by the first process's clock, and at the end, whatever ended it; one on
// the way that cannot be written is a warning. With checkpoint.async one of these is under way at a
// time: it is published before the step by which all processes have written their parts, and waited
// for by the next save, by a score that looks for the best, and at the end. A stop is looked for
// between micro-batches, whose gradients are then dropped; train.time_limit, which counts from
// since_start's beginning, is the first process's to see, before a step. NumericsError before an
// update with non-finite gradients.
LoopResult run_loop(const Prepared& prepared, TrainedModel& model, RunRecord& record,
                    const Stopwatch& since_start);

}  // namespace littlebit
