// See blockwise.h. Each process keeps the states of its own sequences: of every batch the same
// stretch.
#include "blockwise.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/device/device.h"
#include "littlebit/nn/scratch_tensor.h"

namespace littlebit {
namespace {

// In files of `scratch`, or in memory where that is empty.
at::Tensor make_states(const Decoder& teacher, const std::filesystem::path& scratch,
                       int64_t sequences, int64_t length) {
  const std::vector<int64_t> sizes = {sequences, length, teacher.spec().hidden_size};
  if (!scratch.empty()) return scratch_zeros(scratch, sizes, teacher.residual_dtype());
  return at::empty(sizes, at::TensorOptions()
                              .dtype(teacher.residual_dtype())
                              .pinned_memory(device_traits(teacher.device()).pins_host_memory));
}

}  // namespace

BlockwisePhase::BlockwisePhase(const RunOptions& options, const std::filesystem::path& scratch,
                               int64_t sequence_length, const Decoder& teacher, Student& student,
                               Optimizer& optimizer, Batches batches, PartClock& clock)
    : options_(options),
      schedule_(options.blockwise, teacher.spec().num_layers),
      optimizer_(optimizer),
      batches_(std::move(batches)),
      step_(teacher, student,
            make_states(teacher, scratch, schedule_.steps_per_pass() * own_sequences(),
                        sequence_length),
            make_states(teacher, scratch, schedule_.steps_per_pass() * own_sequences(),
                        sequence_length)) {
  step_.set_clock(&clock);
}

int64_t BlockwisePhase::own_sequences() const {
  const int64_t batch = schedule_.options.batch_size, world = optimizer_.communicator().world();
  LB_ASSERT(batch % world == 0, "every process has as many sequences of a batch");
  return batch / world;
}

bool BlockwisePhase::told_to_stop() const {
  return optimizer_.communicator().any(stop_requested());
}

bool BlockwisePhase::prepares(int64_t step) const {
  return !step_.is_prepared(schedule_.block_at(step));
}

bool BlockwisePhase::prepare(int64_t block) {
  const int64_t mine = own_sequences();
  const auto ids = [&](int64_t first, int64_t count) {
    std::vector<int64_t> places;
    for (int64_t i = first; i < first + count; ++i) {
      // Of the i-th of this process's sequences: which batch, this process's stretch of it, which
      // one there.
      places.push_back(i / mine * schedule_.options.batch_size +
                       optimizer_.communicator().rank() * mine + i % mine);
    }
    return batches_(places);
  };
  return step_.prepare(block, options_.train.micro_batch_size, ids, [&] { return told_to_stop(); });
}

void BlockwisePhase::begin_block(int64_t block) {
  std::vector<GroupState>& states = optimizer_.states();
  // Group 0 is the embedding. Of all blocks' state, only this one's is loaded.
  if (of_block_ >= 0) states[of_block_ + 1].unload();
  gradients_.reset();
  states[block + 1].load();
  gradients_.emplace(optimizer_.student().groups()[block + 1]);
  of_block_ = block;
}

std::optional<DistillationLoss> BlockwisePhase::accumulate(int64_t step) {
  const int64_t block = schedule_.block_at(step), mine = own_sequences();
  const auto group = static_cast<size_t>(block + 1);
  if (!step_.is_prepared(block) && !prepare(block)) return std::nullopt;
  if (of_block_ != block) begin_block(block);
  // Takes the one group's.
  struct Sink : GradientSink {
    GroupGradients* sums;
    void add(size_t, const std::vector<at::Tensor>& leaves) override { sums->add(leaves); }
  } sink;
  sink.sums = &*gradients_;
  const int64_t first = step % schedule_.steps_per_pass() * mine;
  DistillationLoss loss;
  for (int64_t done = 0; done < mine; done += options_.train.micro_batch_size) {
    if (done > 0 && told_to_stop()) {
      gradients_->clear();
      return std::nullopt;
    }
    const int64_t count = std::min(options_.train.micro_batch_size, mine - done);
    loss += step_.accumulate(first + done, count, schedule_.options.batch_size, sink);
  }
  optimizer_.reduce(group, *gradients_);
  return loss;
}

Rates BlockwisePhase::rates_at(int64_t step) const {
  OptimOptions optim = options_.optim;
  const BlockwiseOptions& own = schedule_.options;
  if (own.learning_rate > 0) optim.learning_rate = own.learning_rate;
  if (own.latent_learning_rate > 0) optim.latent_learning_rate = own.latent_learning_rate;
  const Phase phase{.name = kBlockwisePhase, .steps = schedule_.steps_per_block()};
  return littlebit::rates_at(optim, phase, schedule_.step_in_block(step));
}

}  // namespace littlebit
