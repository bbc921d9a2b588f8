// The phase of a run in which blocks are trained one by one: how many steps it has, and what a step
// of it does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "littlebit/device/part_clock.h"
#include "littlebit/distill/blockwise.h"
#include "littlebit/optim/gradients.h"
#include "littlebit/optim/optimizer.h"
#include "littlebit/optim/schedule.h"
#include "littlebit/train/options.h"

namespace littlebit {

// The name of the phase in checkpoints.
inline constexpr const char* kBlockwisePhase = "blockwise";
inline constexpr const char* kDistillPhase = "distill";

// Steps 0 .. steps() of a run: all of block 0, then all of block 1, ...
struct BlockwiseSchedule {
  int64_t blocks = 0;
  BlockwiseOptions options;

  BlockwiseSchedule(const BlockwiseOptions& blockwise, int64_t num_layers)
      : blocks(num_layers), options(blockwise) {}

  int64_t steps_per_pass() const { return options.sequences / options.batch_size; }
  int64_t steps_per_block() const { return options.passes * steps_per_pass(); }
  int64_t steps() const { return blocks * steps_per_block(); }
  int64_t block_at(int64_t step) const { return step / steps_per_block(); }
  int64_t step_in_block(int64_t step) const { return step % steps_per_block(); }
  // Seen by the first so many steps: a pass of all blocks counts its sequences once.
  int64_t tokens_after(int64_t steps, int64_t sequence_length) const {
    return steps * options.batch_size * sequence_length / blocks;
  }
};

class BlockwisePhase {
 public:
  // Ids [N, T] of so many places of the training stream, on the device.
  using Batches = std::function<at::Tensor(const std::vector<int64_t>& places)>;

  // Keeps references to all but the options. `scratch`: the folder of what is kept on the disk.
  BlockwisePhase(const RunOptions& options, const std::filesystem::path& scratch,
                 int64_t sequence_length, const Decoder& teacher, Student& student,
                 Optimizer& optimizer, Batches batches, PartClock& clock);

  const BlockwiseSchedule& schedule() const { return schedule_; }
  // Whether the step begins with a walk of all sequences.
  bool prepares(int64_t step) const;

  // The gradients of a step, given to the optimizer, and this process's share of the loss; nothing
  // where the processes were told to stop. Collective.
  std::optional<DistillationLoss> accumulate(int64_t step);

  Rates rates_at(int64_t step) const;
  // Counted from 1 in a block, as its moments are.
  int64_t update_number(int64_t step) const { return schedule_.step_in_block(step) + 1; }

 private:
  int64_t own_sequences() const;  // of a batch
  bool told_to_stop() const;
  bool prepare(int64_t block);
  void begin_block(int64_t block);

  RunOptions options_;
  BlockwiseSchedule schedule_;
  Optimizer& optimizer_;
  Batches batches_;
  BlockwiseStep step_;
  std::optional<GroupGradients> gradients_;
  int64_t of_block_ = -1;  // the gradients
};

}  // namespace littlebit
