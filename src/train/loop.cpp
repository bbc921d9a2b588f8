// The training loop. Everything that stops it (steps done, a signal, numbers gone bad) does so
// between two updates, where the state is whole and is saved.
#include "loop.h"

#include <ATen/ops/empty.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "littlebit/core/file.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/distill/step.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/metrics.h"
#include "resume.h"

namespace littlebit {
namespace {

// Sequences [first, first + count) of the endless stream as ids [count, T].
at::Tensor load_batch(const Corpus& corpus, const Sampler& sampler, int64_t first, int64_t count) {
  const int64_t length = corpus.sequence_length();
  at::Tensor ids = at::empty({count, length}, at::TensorOptions().dtype(at::kInt));
  int32_t* data = ids.data_ptr<int32_t>();
  for (int64_t i = 0; i < count; ++i) {
    corpus.copy_block(sampler.block_at(first + i),
                      {data + i * length, static_cast<size_t>(length)});
  }
  return ids.to(at::kLong);
}

// What of a line of metrics TensorBoard is to draw.
std::vector<std::pair<std::string, double>> scalars_of(const Json& record) {
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [key, value] : record.items()) {
    if (key != "step" && key != "seconds") scalars.emplace_back("train/" + key, value);
  }
  return scalars;
}

std::string live_note(const DistillationLoss& loss, double rate, const StepStatistics& statistics,
                      double tokens_per_second) {
  char note[200];
  std::snprintf(note, sizeof note,
                "loss %.4g (KL %.4g + hidden %.4g), lr %.2e, grad norm %.3g, %.0f tokens/s",
                loss.total(), loss.kl, loss.hidden, rate, statistics.gradient_norm,
                tokens_per_second);
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
  const int64_t batch = options.train.sequences_per_step(),
                length = session.corpus->sequence_length();
  const Sampler sampler(session.corpus->num_blocks(), static_cast<uint64_t>(options.train.seed),
                        options.data.shuffle);
  DistillationStep step_function(*session.teacher, *session.student, options.distill,
                                 options.train.recompute);
  const Trajectory trajectory = make_trajectory(session);
  MetricsFile metrics(folder.metrics());
  Progress progress("training", session.steps, "steps", 10, start.step);

  LoopResult result{.position = start};
  TrainingPosition& position = result.position;
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
  int64_t tokens_here = 0;
  const auto one_step = [&] {
    const Stopwatch since_step;
    DistillationLoss loss;
    const int64_t first = position.step * batch;
    for (int64_t done = 0; done < batch; done += options.train.micro_batch_size) {
      if (done > 0 && stop_requested()) {
        for (StudentGroup& group : session.student->groups()) group.zero_gradients();
        throw Error(ExitCode::kStopped, "told to stop in the middle of a step");
      }
      const int64_t count = std::min(options.train.micro_batch_size, batch - done);
      loss += step_function.accumulate(load_batch(*session.corpus, sampler, first + done, count),
                                       batch);
    }
    if (!std::isfinite(loss.total())) {
      throw NumericsError(
          "the loss of step " + std::to_string(position.step + 1) +
              " is not finite; nothing was updated",
          "start a new output.dir with a lower optim.learning_rate, or look for damaged data");
    }
    const double rate = learning_rate_at(options.optim, position.step, session.steps);
    const StepStatistics statistics = session.optimizer->step(position.step + 1, rate);
    ++position.step;
    position.tokens += batch * length;
    tokens_here += batch * length;

    const double seconds = since_step.seconds();
    const double tokens_per_second = static_cast<double>(tokens_here) / since_start.seconds();
    progress.update(position.step, live_note(loss, rate, statistics, tokens_per_second));
    if (position.step % options.log.every == 0 || last_step(position.step)) {
      const Json record = {{"step", position.step},
                           {"loss", loss.total()},
                           {"loss_kl", loss.kl},
                           {"loss_hidden", loss.hidden},
                           {"learning_rate", rate},
                           {"grad_norm", statistics.gradient_norm},
                           {"sign_flip_fraction", statistics.sign_flip_fraction},
                           {"tokens", position.tokens},
                           {"tokens_per_second", static_cast<double>(batch * length) / seconds},
                           {"seconds", seconds}};
      metrics.append(record);
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
  result.finished = position.step >= session.steps;
  progress.finish();
  return result;
}

}  // namespace littlebit
