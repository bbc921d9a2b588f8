// The training loop. Everything that stops it (steps done, a signal, numbers gone bad) does so
// between two updates, where the state is whole and is saved.
#include "loop.h"

#include <cstdio>
#include <string>

#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/logging/console.h"
#include "resume.h"
#include "scoring.h"
#include "trainer.h"

namespace littlebit {
namespace {

std::string live_note(const StepRecord& step, double tokens_per_second) {
  char note[200];
  std::snprintf(note, sizeof note,
                "loss %.4g (KL %.4g + hidden %.4g), lr %.2e, grad norm %.3g, %.0f tokens/s",
                step.loss(), step.loss_kl, step.loss_hidden, step.learning_rate, step.grad_norm,
                tokens_per_second);
  return note;
}

class Loop {
 public:
  Loop(Session& session, RunRecord& record, const TrainingPosition& start)
      : session_(session),
        options_(session.options),
        record_(record),
        trainer_(options_, session.steps, *session.corpus, *session.teacher, *session.student,
                 *session.optimizer, start),
        trajectory_(make_trajectory(session)),
        progress_("training", session.steps, "steps", 10, start.step),
        start_(start) {}

  LoopResult run() {
    const bool stopped = !run_steps();
    communicator_.enter("saving step " + std::to_string(position().step), kLongSeconds);
    record_.save_last(position(), writer_);
    progress_.finish();
    return {.position = position(),
            .stopped_by_signal = stopped,
            .finished = position().step >= session_.steps};
  }

 private:
  const TrainingPosition& position() const { return trainer_.position(); }
  bool is_last(int64_t step) const {
    const int64_t stop = options_.train.stop_after;
    return step >= session_.steps || (stop > 0 && step >= stop);
  }
  bool is_multiple(int64_t every) const { return every > 0 && position().step % every == 0; }

  // False where it was told to stop before the last step. Verdicts are taken here: before a step,
  // in it between two micro-batches, after a score; the state is whole at each of them.
  bool run_steps() {
    while (!is_last(position().step)) {
      communicator_.enter("step " + std::to_string(position().step + 1),
                          position().step == start_.step ? kLongSeconds : kStepSeconds);
      if (communicator_.any(stop_requested())) return false;
      switch (trainer_.train_step()) {
        case StepVerdict::kStopped:
          return false;
        case StepVerdict::kNotFinite:
          end_before(trainer_.problem());
        case StepVerdict::kDone:
          break;
      }
      if (!follow(trainer_.record())) return false;
    }
    return true;
  }

  // Whatever is due after a step: its line, a checkpoint, a score. False where it was told to stop
  // while scoring.
  bool follow(const StepRecord& done) {
    const auto tokens_here = static_cast<double>(position().tokens - start_.tokens);
    progress_.update(done.step, live_note(done, tokens_here / since_start_.seconds()));
    if (is_multiple(options_.log.every) || is_last(done.step)) {
      in_all(communicator_, [&] { record_.append(done); });
    }
    if (is_multiple(options_.checkpoint.every)) save_on_the_way(/*is_best=*/false);
    if (is_multiple(options_.eval_schedule.every) && !is_last(done.step)) {
      if (!score_student(session_, done.step, record_)) return false;
      bool is_best = false;
      in_all(communicator_, [&] {
        is_best = record_.update_best(done.step);
        record_.write();
      });
      if (communicator_.any(is_best)) save_on_the_way(/*is_best=*/true);
    }
    return true;
  }

  // A state that went bad by itself ends the run; a disk that is full for a while does not.
  void save_on_the_way(bool is_best) {
    communicator_.enter("saving step " + std::to_string(position().step), kLongSeconds);
    try {
      record_.save_on_the_way(position(), is_best, writer_);
    } catch (const NumericsError& bad) {
      end_before(bad.what());
    }
  }

  // Numbers went bad after this position. Its state is saved, and what is older stays too, for this
  // one leads there again: the way out is an older checkpoint and a lower rate, where there is one.
  [[noreturn]] void end_before(const std::string& problem) {
    try {
      record_.save(position(), writer_);
    } catch (const NumericsError&) {  // it is bad itself
    }
    const auto older = record_.checkpoint_before(position().step);
    throw NumericsError(
        problem,
        older ? "go on from an earlier checkpoint with a lower rate: --resume " + older->string() +
                    " --resume-with optim.learning_rate=RATE; or look for damaged data"
              : "start a new output.dir with a lower optim.learning_rate, or look for damaged "
                "data");
  }

  Session& session_;
  const RunOptions& options_;
  RunRecord& record_;
  Communicator& communicator_ = session_.optimizer->communicator();
  Trainer trainer_;
  const Trajectory trajectory_;
  const CheckpointWriter writer_ = [this](const std::filesystem::path& root,
                                          const TrainingPosition& position) {
    return save_checkpoint(root, *session_.optimizer, position, trajectory_, session_.changes);
  };
  Progress progress_;
  const TrainingPosition start_;
  const Stopwatch since_start_;
};

}  // namespace

LoopResult run_loop(Session& session, RunRecord& record, const TrainingPosition& start) {
  return Loop(session, record, start).run();
}

}  // namespace littlebit
