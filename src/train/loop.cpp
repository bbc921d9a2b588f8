// The training loop. Everything that stops it (steps done, a signal, numbers gone bad) does so
// between two updates, where the state is whole and is saved.
#include "loop.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "littlebit/core/file.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/metrics.h"
#include "resume.h"
#include "trainer.h"

namespace littlebit {
namespace {

std::string live_note(const StepRecord& record, double tokens_per_second) {
  char note[200];
  std::snprintf(note, sizeof note,
                "loss %.4g (KL %.4g + hidden %.4g), lr %.2e, grad norm %.3g, %.0f tokens/s",
                record.loss(), record.loss_kl, record.loss_hidden, record.learning_rate,
                record.grad_norm, tokens_per_second);
  return note;
}

void note_last_checkpoint(const std::filesystem::path& folder) {
  set_bus_error_note("the last checkpoint is " + folder.string() +
                     ": --resume auto goes on from it");
}

// What to do about numbers gone bad after `step`, from whose state they go bad again: an older
// checkpoint and a lower rate, where there is one; else `otherwise`.
std::string way_out(const RunFolder& folder, int64_t step, const std::string& otherwise) {
  for (const Checkpoint& checkpoint : list_checkpoints(folder.checkpoints())) {
    if (checkpoint.position.step >= step) continue;
    return "go on from an earlier checkpoint with a lower rate: --resume " +
           checkpoint.folder.string() +
           " --resume-with optim.learning_rate=RATE; or look for damaged data";
  }
  return otherwise;
}

}  // namespace

LoopResult run_loop(Session& session, const RunFolder& folder, const TrainingPosition& start,
                    const std::function<bool(int64_t step)>& score, EventFile* events) {
  const RunOptions& options = session.options;
  Trainer trainer(options, session.steps, *session.corpus, *session.teacher, *session.student,
                  *session.optimizer, start);
  const Trajectory trajectory = make_trajectory(session);
  MetricsFile metrics(folder.metrics());
  Progress progress("training", session.steps, "steps", 10, start.step);

  LoopResult result;
  const TrainingPosition& position = trainer.position();
  int64_t saved_step = -1;
  const auto save = [&] {
    if (saved_step == position.step) return;
    metrics.flush();  // its lines are to be there where the checkpoint is
    const std::filesystem::path saved = save_checkpoint(folder.checkpoints(), *session.optimizer,
                                                        position, trajectory, session.changes);
    saved_step = position.step;
    note_last_checkpoint(saved);
  };
  const auto prune = [&] { prune_checkpoints(folder.checkpoints(), options.checkpoint.keep); };
  // A checkpoint on the way: a disk that is full for a while does not end the run.
  const auto save_on_the_way = [&](bool is_best) {
    try {
      save();
      if (is_best) mark_best(folder.checkpoints(), position.step);
      prune();
    } catch (const OutputError& failed) {
      log_warning("step " + std::to_string(position.step) + " is not saved: " + failed.what() +
                  "; the run goes on without");
    }
  };
  const auto last_step = [&](int64_t step) {
    return step >= session.steps ||
           (options.train.stop_after > 0 && step >= options.train.stop_after);
  };
  // A checkpoint of another folder (--resume DIR) is not this run's.
  if (start.step > 0 && has_checkpoint(folder.checkpoints(), start.step)) saved_step = start.step;
  if (const auto found = list_checkpoints(folder.checkpoints()); !found.empty()) {
    note_last_checkpoint(found.front().folder);
  }

  const Stopwatch since_start;
  const auto one_step = [&] {
    const StepVerdict verdict = trainer.train_step();
    if (verdict == StepVerdict::kStopped) {
      throw Error(ExitCode::kStopped, "told to stop in the middle of a step");
    }
    if (verdict == StepVerdict::kNotFinite) {
      throw NumericsError(
          trainer.problem(),
          "start a new output.dir with a lower optim.learning_rate, or look for damaged data");
    }
    const StepRecord& record = trainer.record();
    const double tokens_per_second =
        static_cast<double>(position.tokens - start.tokens) / since_start.seconds();
    progress.update(position.step, live_note(record, tokens_per_second));
    if (position.step % options.log.every == 0 || last_step(position.step)) {
      metrics.append(to_json(record));
      if (events) events->scalars(position.step, scalars_of(record));
    }
    if (options.checkpoint.every > 0 && position.step % options.checkpoint.every == 0) {
      save_on_the_way(false);
    }
    if (options.eval_schedule.every > 0 && position.step % options.eval_schedule.every == 0 &&
        !last_step(position.step) && score(position.step)) {
      save_on_the_way(true);
    }
  };
  try {
    while (!last_step(position.step) && !stop_requested()) one_step();
    result.stopped_by_signal = !last_step(position.step);
  } catch (const NumericsError& error) {
    try {
      save();  // the state before; what is older stays too, for this one leads here again
    } catch (const NumericsError&) {  // it is bad itself
    }
    throw NumericsError(error.what(), way_out(folder, position.step, error.hint()));
  } catch (const Error& error) {
    // Between two updates, where the state is whole: in a step or a score.
    if (error.code() != ExitCode::kStopped) throw;
    result.stopped_by_signal = true;
  }
  save();
  prune();
  result.position = position;
  result.finished = position.step >= session.steps;
  progress.finish();
  return result;
}

}  // namespace littlebit
