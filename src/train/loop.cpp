// The training loop. Everything that stops it (steps done, a signal, numbers gone bad) does so
// between two updates, where the state is whole and is saved. Processes must take every decision
// alike, or one waits forever in a sum that the others never enter: so each decision is one
// process's (a clock, a score) or any process's (a signal), and is told to all before it acts.
#include "loop.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>

#include "littlebit/checkpoint/save.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/progress.h"
#include "resume.h"
#include "run_folder.h"
#include "scoring.h"
#include "straggler.h"
#include "trainer.h"

namespace littlebit {
namespace {

// Of train.time_limit, what is left for all that is not measured. The margin is 5 % of the limit, a
// minute at most. Until a save was timed, its time is assumed from its size and a slow disk.
constexpr double kMaxMargin = 60, kMarginShare = 0.05;
constexpr double kSlowBytesPerSecond = 100e6;

std::string live_note(const StepRecord& step, double tokens_per_second, int64_t blocks) {
  char note[200];
  if (step.block) {
    std::snprintf(note, sizeof note,
                  "block %lld of %lld, relative error %.4g, lr %.2e, grad norm %.3g, %.0f tokens/s",
                  static_cast<long long>(*step.block), static_cast<long long>(blocks), step.loss(),
                  step.learning_rate, step.grad_norm, tokens_per_second);
    return note;
  }
  std::snprintf(note, sizeof note,
                "loss %.4g (KL %.4g + hidden %.4g), lr %.2e, grad norm %.3g, %.0f tokens/s",
                step.loss(), step.loss_kl, step.loss_hidden, step.learning_rate, step.grad_norm,
                tokens_per_second);
  if (!step.product_share) return note;
  return std::string(note) + ", products " +
         std::to_string(std::lround(100 * *step.product_share)) + " % of the time";
}

// Models with a few huge activations: clipping then leaves nothing of the KL divergence's gradient.
void warn_of_hidden_states(const StepRecord& first, const DistillOptions& options) {
  constexpr double kFarMore = 10;
  if (options.hidden != HiddenLoss::kMeanSquare || first.block || options.kl_weight == 0) return;
  if (first.loss_hidden < kFarMore * first.loss_kl) return;
  log_warning("the loss is nearly all differences of hidden states (" +
              format_digits(first.loss_hidden, 3) + ", KL " + format_digits(first.loss_kl, 3) +
              "), as in models with a few huge activations. With distill.hidden=relative "
              "distill.hidden_weight=3 distill.hidden_schedule=while_far such a model learned far "
              "faster (docs/results.md)");
}

class Loop {
 public:
  Loop(const Prepared& prepared, TrainedModel& model, RunRecord& record,
       const Stopwatch& since_start)
      : session_(prepared.session),
        steps_(prepared.steps),
        options_(session_.options),
        model_(model),
        record_(record),
        trainer_(options_, steps_, prepared.corpus, prepared.teacher, *model.student,
                 session_.plans, *model.optimizer, model.start, prepared.scratch),
        fingerprint_(make_fingerprint(prepared)),
        progress_("training", steps_, "steps", 10, model.start.step),
        start_(model.start),
        since_program_(since_start) {}

  // A save that is under way is finished before the last one: both write below the same root, and
  // what is kept is decided with all of them there.
  LoopResult run() {
    const bool stopped = !run_steps();
    finish_save();
    enter_saving(position());
    record_.save_last(position(), writer_);
    progress_.finish();
    return {.position = position(),
            .stopped_by = stopped ? what_stopped() : "",
            .finished = position().step >= steps_};
  }

 private:
  const TrainingPosition& position() const { return trainer_.position(); }
  bool is_last(int64_t step) const {
    const int64_t stop = options_.train.stop_after;
    return step >= steps_ || (stop > 0 && step >= stop);
  }
  // every 0: never.
  bool is_multiple(int64_t every) const { return every > 0 && position().step % every == 0; }

  // The first step may take long: kernels are chosen, memory is taken for the first time.
  void enter_step() {
    communicator_.enter("step " + std::to_string(position().step + 1),
                        position().step == start_.step || trainer_.prepares()
                            ? kLongSeconds
                            : options_.train.peer_timeout);
  }
  void enter_saving(const TrainingPosition& position) {
    communicator_.enter("saving step " + std::to_string(position.step), kLongSeconds);
  }

  // What this process asks for before the next step. The first one's clock decides.
  StepRequests requests() {
    const bool is_first = communicator_.is_first();
    const double minutes = options_.checkpoint.every_minutes;
    // Clocks of several processes differ: with one deciding, all stop at the same step.
    is_out_of_time_ = is_first && time_is_up();
    return {.stop = stop_requested() || is_out_of_time_,
            .save = is_first && minutes > 0 && since_save_.seconds() >= 60 * minutes,
            .unwritten = pending_ && !pending_->is_written()};
  }

  // What any process asks for. A step of several processes ends with the answer of all; behind what
  // takes long, and in one process, they are asked anew.
  StepRequests ask() {
    if (is_answered_ && communicator_.world() > 1) return trainer_.requests();
    // One letter for each request; the largest of all processes' letters wins.
    const StepRequests mine = requests();
    const auto mark = [](bool asked) { return asked ? '1' : '0'; };
    std::string any = {mark(mine.stop), mark(mine.save), mark(mine.unwritten)};
    for (const std::string& each : communicator_.gather(any)) {
      for (size_t i = 0; i < any.size(); ++i) any[i] = std::max(any[i], each[i]);
    }
    return {.stop = any[0] == '1', .save = any[1] == '1', .unwritten = any[2] == '1'};
  }

  // Whether the state would not be saved in time if one more step were taken: that step, the last
  // save (one that is under way must be done before), and a margin for the report and for what is
  // never twice the same.
  bool time_is_up() const {
    const std::optional<double> limit = options_.train.limit_seconds();
    if (!limit) return false;
    const double saving = (pending_ ? 2 : 1) * save_seconds_;
    const double margin = std::min(kMaxMargin, kMarginShare * *limit);
    return since_program_.seconds() + step_seconds_ + 1.5 * saving + margin >= *limit;
  }

  // A signal's name, of any process, or what else the first one saw.
  std::string what_stopped() {
    std::string mine(stop_signal_name());
    if (mine.empty() && is_out_of_time_) mine = "train.time_limit";
    for (const std::string& name : communicator_.gather(mine)) {
      if (!name.empty()) return name;
    }
    return "";
  }

  // False where it was told to stop before the last step. Verdicts are taken here: before a step,
  // in it between two micro-batches, after a score; the state is whole at each of them. One turn:
  // ask (stop? save? is a save written everywhere?), publish or begin a save, take the step, then
  // whatever is due after it.
  bool run_steps() {
    while (!is_last(position().step)) {
      enter_step();
      const StepRequests asked = ask();
      if (asked.stop) return false;
      // Published when all processes have written their parts, so that nobody waits for a disk
      // here.
      const bool publishes = pending_ && !asked.unwritten;
      if (publishes) finish_save();
      // A state that was just resumed is on the disk already.
      const bool saves = asked.save && position().step > start_.step;
      if (saves) save_on_the_way(/*is_best=*/false);
      if (publishes || saves) enter_step();
      straggler_.begin_step();
      const Stopwatch since_begin;
      switch (trainer_.train_step([this] { return requests(); })) {
        case StepVerdict::kStopped:
          return false;
        case StepVerdict::kNotFinite:
          end_before(trainer_.problem());
        case StepVerdict::kDone:
          break;
      }
      straggler_.end_step();
      if (position().step == 1 && communicator_.is_first()) {
        warn_of_hidden_states(trainer_.record(), options_.distill);
      }
      is_answered_ = true;  // the step's last sum carried what all processes ask for
      // One that was slow, as the first often is, is forgotten after some. The next step is
      // expected to take as long as the slowest recent one.
      step_seconds_ = std::max(since_begin.seconds(), 0.75 * step_seconds_);
      if (!follow(trainer_.record())) return false;
    }
    return true;
  }

  // Whatever is due after a step: its line, a checkpoint, a score. False where it was told to stop
  // while scoring.
  bool follow(const StepRecord& done) {
    const auto tokens_here = static_cast<double>(position().tokens - start_.tokens);
    progress_.update(
        done.step, live_note(done, tokens_here / since_start_.seconds(), session_.spec.num_layers));
    if (is_multiple(options_.log.every) || is_last(done.step)) {
      in_all(communicator_, [&] { record_.append(done); });
      straggler_.tell(is_last(done.step));
    }
    if (is_multiple(options_.checkpoint.every)) save_on_the_way(/*is_best=*/false);
    if (is_multiple(options_.eval_schedule.every) && !is_last(done.step)) {
      is_answered_ = false;
      if (!score_student(session_, model_, done.step, record_)) return false;
      // One that is under way may be of the best so far: which files are kept is decided with all
      // of them there.
      finish_save();
      bool is_best = false;
      in_all(communicator_, [&] {
        is_best = record_.update_best(done.step);
        record_.write();
      });
      if (communicator_.any(is_best)) save_on_the_way(/*is_best=*/true);
    }
    return true;
  }

  // One save at a time is on its way.
  void save_on_the_way(bool is_best) {
    finish_save();
    is_answered_ = false;
    since_save_ = Stopwatch();
    // No copy is made of what has no room in memory. A state that lies in files is written from
    // there, on this thread.
    const bool in_background = options_.checkpoint.async && !model_.optimizer->is_kept();
    if (!in_background || record_.is_saved(position().step)) {
      write_on_the_way(position(), is_best, writer_);
      return;
    }
    enter_saving(position());
    std::exception_ptr failure;
    try {
      pending_.emplace(RunFolder(options_.output.dir).checkpoints(), *model_.optimizer, position(),
                       fingerprint_, model_.changes, /*in_background=*/true);
      pending_is_best_ = is_best;
    } catch (const OutputError&) {  // in all of them
      failure = std::current_exception();
    }
    if (!failure) return;
    write_on_the_way(position(), is_best, [&](const auto&, const auto&) -> std::filesystem::path {
      std::rethrow_exception(failure);
    });
  }

  // Publishes the one that is on its way, or tells why it cannot be.
  void finish_save() {
    if (!pending_) return;
    write_on_the_way(pending_->position(), pending_is_best_,
                     [&](const auto&, const auto&) { return pending_->finish(); });
    pending_.reset();
  }

  // A state that went bad by itself ends the run; a disk that is full for a while does not.
  void write_on_the_way(const TrainingPosition& position, bool is_best,
                        const CheckpointWriter& write) {
    enter_saving(position);
    const Stopwatch since_begin;
    try {
      record_.save_on_the_way(position, is_best, write);
    } catch (const NumericsError& bad) {
      pending_.reset();
      end_before(bad.what());
    }
    save_seconds_ = std::max(since_begin.seconds(), pending_ ? pending_->seconds() : 0);
  }

  // Numbers went bad after this position. Its state is saved, and what is older stays too, for this
  // one leads there again: the way out is an older checkpoint and a lower rate, where there is one.
  [[noreturn]] void end_before(const std::string& problem) {
    finish_save();
    try {
      record_.save(position(), writer_);
    } catch (const NumericsError&) {  // it is bad itself
    }
    const auto older = record_.checkpoint_before(position().step);
    const NumericsError bad(
        problem,
        older
            ? "continue from an earlier checkpoint with a lower rate: --resume " + older->string() +
                  " --resume-with optim.learning_rate=RATE; or look for damaged data"
            : "start a new output.dir with a lower optim.learning_rate, or look for damaged "
              "data");
    in_all(communicator_, [&] { throw bad; });
    throw bad;  // not reached
  }

  const Session& session_;
  const int64_t steps_;  // of the whole schedule
  const RunOptions& options_;
  TrainedModel& model_;
  RunRecord& record_;
  Communicator& communicator_ = model_.optimizer->communicator();
  Trainer trainer_;
  const RunFingerprint fingerprint_;  // of all checkpoints of this start
  const CheckpointWriter writer_ = [this](const std::filesystem::path& root,
                                          const TrainingPosition& position) {
    return save_checkpoint(root, *model_.optimizer, position, fingerprint_, model_.changes);
  };
  Progress progress_;
  Straggler straggler_{communicator_};
  bool is_answered_ = false;  // whether to stop: by the last step, and nothing came after it
  const TrainingPosition start_;
  const Stopwatch& since_program_;
  const Stopwatch since_start_;
  Stopwatch since_save_;
  double step_seconds_ = 0;
  // Of the newest save; until there is one, of a slow disk.
  double save_seconds_ =
      static_cast<double>(checkpoint_bytes(*model_.optimizer)) / kSlowBytesPerSecond;
  bool is_out_of_time_ = false;
  std::optional<CheckpointSave> pending_;
  bool pending_is_best_ = false;
};

}  // namespace

LoopResult run_loop(const Prepared& prepared, TrainedModel& model, RunRecord& record,
                    const Stopwatch& since_start) {
  return Loop(prepared, model, record, since_start).run();
}

}  // namespace littlebit
