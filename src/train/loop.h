// The training loop: batches, steps, metrics, checkpoints, stops at step borders.
#pragma once

#include <functional>

#include "littlebit/core/error.h"
#include "littlebit/logging/event_file.h"
#include "run_folder.h"
#include "session.h"

namespace littlebit {

struct LoopResult {
  TrainingPosition position;
  bool stopped_by_signal = false;
  bool finished = false;  // the schedule is done; else train.stop_after or a signal ended it
};

// Runs steps from `start` on. Metrics go to the folder's file and to `events`, where given.
// `score(step)` is called after every eval.every-th step but the last;
// where it returns true the step is the best so far, and its checkpoint is saved and kept. Saves a
// checkpoint every checkpoint.every steps and at the end, whatever ended it; one on the way that
// cannot be written is a warning. A stop is looked for between micro-batches, whose gradients are
// then dropped. NumericsError before an update with non-finite gradients.
LoopResult run_loop(Session& session, const RunFolder& folder, const TrainingPosition& start,
                    const std::function<bool(int64_t step)>& score, EventFile* events);

}  // namespace littlebit
