// The training loop: batches, steps, and what follows a step; stops at step borders.
#pragma once

#include "run_record.h"
#include "session.h"

namespace littlebit {

struct LoopResult {
  TrainingPosition position;
  bool stopped_by_signal = false;
  bool finished = false;  // the schedule is done; else train.stop_after or a signal ended it
};

// Runs steps from `start` on and appends them to the record, which is open. The student is scored
// after every eval.every-th step but the last; where that makes it the best so far, its checkpoint
// is saved and kept. Saves a checkpoint every checkpoint.every steps and at the end, whatever ended
// it; one on the way that cannot be written is a warning. A stop is looked for between
// micro-batches, whose gradients are then dropped. NumericsError before an update with non-finite
// gradients.
LoopResult run_loop(Session& session, RunRecord& record, const TrainingPosition& start);

}  // namespace littlebit
