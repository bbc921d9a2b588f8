// The optimizer step of a run: batches of the corpus, the distillation step, the optimizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockwise.h"
#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/data/corpus.h"
#include "littlebit/data/sampler.h"
#include "littlebit/device/part_clock.h"
#include "littlebit/distill/step.h"
#include "littlebit/distributed/communicator.h"
#include "littlebit/optim/gradient_reducer.h"
#include "littlebit/optim/optimizer.h"
#include "littlebit/train/options.h"
#include "step_record.h"

namespace littlebit {

// What became of a step; the same in all processes.
enum class StepVerdict {
  kDone,
  kStopped,   // told to stop between two micro-batches: their gradients are dropped
  kNotFinite  // the loss or the gradient norm: nothing was updated
};

// What a process asks of all before the next step: any is enough.
struct StepRequests {
  bool stop = false;
  bool save = false;
  bool unwritten = false;  // a save that it still writes is not to be published yet
};

class Trainer {
 public:
  // Keeps references to all but `options`; `steps` is the length of the schedule, of which the
  // first may be those of block-wise training. Runs in the processes of the optimizer's
  // communicator: each takes its part of a batch. `scratch`: where block-wise training keeps what
  // it keeps on the disk; "": nowhere.
  Trainer(const RunOptions& options, int64_t steps, const Corpus& corpus, const Decoder& teacher,
          Student& student, std::span<const LayerPlan> plans, Optimizer& optimizer,
          const TrainingPosition& start, const std::filesystem::path& scratch = {});

  // One step: accumulate, reduce, step, record. It waits for the device once, when it reads what it
  // records. Where the verdict is not kDone, position() is that of the step before. `mine` is asked
  // at the end; what any process answered comes with the numbers.
  StepVerdict train_step(const std::function<StepRequests()>& mine = [] { return StepRequests(); });
  const StepRequests& requests() const { return requests_; }  // of any process

  const TrainingPosition& position() const { return position_; }
  const StepRecord& record() const { return record_; }  // of the last step that was done
  std::string problem() const { return problem_; }      // what was not finite

  // Whether the next step begins with a walk of all sequences through a block, and takes as long.
  bool prepares() const { return in_blockwise() && blockwise_->prepares(position_.step); }

 private:
  bool in_blockwise() const { return blockwise_ && position_.step < blockwise_steps_; }
  void enter_phase();
  std::optional<DistillationLoss> accumulate();  // nothing: told to stop
  void note_kl(double loss_kl);                  // of a step that was done
  int64_t own_sequences() const;                 // of a batch
  int64_t micro_batches() const;                 // of a step
  at::Tensor load_batch(const std::vector<int64_t>& places) const;
  void measure_products();

  RunOptions options_;
  Phase phase_;
  const Corpus& corpus_;
  Sampler sampler_;
  const Decoder& teacher_;
  Student& student_;
  std::span<const LayerPlan> plans_;  // of the student
  Optimizer& optimizer_;
  Communicator& communicator_;
  DistillationStep distillation_;
  GradientReducer reducer_;
  TrainingPosition position_;
  StepRecord record_;
  std::string problem_;
  StepRequests requests_;
  PartClock clock_;
  int64_t blockwise_steps_ = 0;
  std::optional<BlockwisePhase> blockwise_;  // while it has steps to come
  bool has_measured_ = false;
  std::optional<double> product_seconds_;  // of a step, alone
};

}  // namespace littlebit
