// One optimizer step from its batch to its record. What is decided is decided here, at two points:
// between micro-batches (stop requested), and when the numbers are read (not finite). A step's data
// depend on its number alone, so that a resumed run needs no state of a data loader.
#include "trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/device/device.h"
#include "littlebit/distill/step_products.h"
#include "littlebit/distributed/waiting.h"

namespace littlebit {

Trainer::Trainer(const RunOptions& options, int64_t steps, const Corpus& corpus,
                 const Decoder& teacher, Student& student, std::span<const LayerPlan> plans,
                 Optimizer& optimizer, const TrainingPosition& start,
                 const std::filesystem::path& scratch)
    : options_(options),
      corpus_(corpus),
      sampler_(corpus.num_blocks(), static_cast<uint64_t>(options.train.seed),
               options.data.shuffle),
      teacher_(teacher),
      student_(student),
      plans_(plans),
      optimizer_(optimizer),
      communicator_(optimizer.communicator()),
      distillation_(teacher, student, options.distill, options.train.recompute,
                    options.train.inputs),
      reducer_(optimizer, options.train.reduce, micro_batches()),
      position_(start),
      clock_(student.decoder().device(), static_cast<int>(std::size(kStepParts))) {
  distillation_.set_clock(&clock_);
  const BlockwiseSchedule blockwise(options.blockwise, teacher.spec().num_layers);
  blockwise_steps_ = blockwise.steps();
  phase_.steps = steps - blockwise_steps_;
  if (position_.step >= blockwise_steps_) return;
  blockwise_.emplace(
      options_, scratch, corpus.sequence_length(), teacher, student, optimizer,
      [this](const std::vector<int64_t>& places) { return load_batch(places); }, clock_);
  position_.phase = kBlockwisePhase;
}

// From block-wise training to that of all blocks: the averages of their gradients are of another
// loss.
void Trainer::enter_phase() {
  if (position_.step < blockwise_steps_ || position_.phase == kDistillPhase) return;
  blockwise_.reset();
  for (GroupState& state : optimizer_.states()) {
    state.load_for_good();
    state.forget_moments();
  }
  position_.phase = kDistillPhase;
  position_.phase_begin = position_.step;
}

StepVerdict Trainer::train_step(const std::function<StepRequests()>& mine) {
  const Stopwatch stopwatch;
  const double waited_before = seconds_waited();
  enter_phase();
  const bool is_blockwise = in_blockwise();
  const int64_t in_phase = position_.step - position_.phase_begin,
                length = corpus_.sequence_length();
  int64_t tokens = options_.train.sequences_per_step() * length;
  int64_t update = in_phase + 1;
  Rates rates;
  std::optional<int64_t> block;
  if (is_blockwise) {
    const BlockwiseSchedule& schedule = blockwise_->schedule();
    tokens = schedule.tokens_after(in_phase + 1, length) - schedule.tokens_after(in_phase, length);
    update = blockwise_->update_number(in_phase);
    rates = blockwise_->rates_at(in_phase);
    block = schedule.block_at(in_phase) + 1;
  } else {
    rates = rates_at(options_.optim, phase_, in_phase);
    distillation_.set_hidden_weight(
        options_.distill.hidden_weight_at(in_phase, phase_.steps, position_.recent_kl));
  }

  // What a step left that ended without a record.
  clock_.take();
  const std::optional<DistillationLoss> loss =
      is_blockwise ? blockwise_->accumulate(in_phase) : accumulate();
  if (!loss) return StepVerdict::kStopped;
  clock_.enter(static_cast<int>(StepPart::kOptimizer));
  if (!is_blockwise) reducer_.finish();
  // Two sums over processes: what decides about the update before it, what came of it behind it,
  // with what the processes ask for.
  // The losses go into the first: an update on a loss that is not finite must not happen in any.
  const at::Tensor losses = at::stack({loss->kl, loss->hidden});
  const StepStatistics statistics = optimizer_.step(update, rates, losses);
  const StepRequests asked = mine();
  const at::Tensor flipped = statistics.sign_flips.to(at::kDouble);
  const auto number_of = [&](bool is_asked) { return at::full_like(flipped, is_asked ? 1 : 0); };
  at::Tensor after = at::stack(
      {flipped, number_of(asked.stop), number_of(asked.save), number_of(asked.unwritten)});
  if (communicator_.world() > 1) {  // they talk from where the student is
    after = after.to(losses.device());
    communicator_.all_reduce_sum(after);
  }

  // The one wait for the device; where the optimizer is on the host it was in its step.
  const at::Tensor numbers = at::cat({statistics.sums.to(after.device()), after}).cpu();
  const double* number = numbers.const_data_ptr<double>();
  const double norm = std::sqrt(number[0]), kl = number[1], hidden = number[2], flips = number[3];
  requests_ = {.stop = number[4] > 0, .save = number[5] > 0, .unwritten = number[6] > 0};
  const std::string step = std::to_string(position_.step + 1);
  // The optimizer has left everything as it was; position_ still is that of the step before.
  if (!std::isfinite(kl + hidden)) {
    problem_ = "the loss of step " + step + " is not finite; nothing was updated";
    return StepVerdict::kNotFinite;
  }
  if (!std::isfinite(norm)) {
    problem_ = "the gradient norm of step " + step + " is not finite; nothing was updated";
    return StepVerdict::kNotFinite;
  }
  ++position_.step;
  position_.tokens += tokens;
  if (!is_blockwise) note_kl(kl);
  const std::vector<double> parts = clock_.take();
  const double seconds = stopwatch.seconds(), waited = seconds_waited() - waited_before;
  // After the clock was read: the measurement is no part of the step.
  if (!has_measured_ && !is_blockwise) measure_products();
  record_ = {.step = position_.step,
             .block = block,
             .loss_kl = kl,
             .loss_hidden = hidden,
             .learning_rate = rates.scales,
             .latent_learning_rate = rates.latents,
             .grad_norm = norm,
             .sign_flip_fraction = statistics.flip_fraction(flips),
             .tokens = position_.tokens,
             .tokens_per_second = static_cast<double>(tokens) / seconds,
             .seconds = seconds,
             .part_seconds = {},
             .product_share = std::nullopt};
  for (size_t i = 0; i < parts.size(); ++i) {
    record_.part_seconds.emplace_back(kStepParts[i], parts[i]);
  }
  if (communicator_.world() > 1) record_.part_seconds.emplace_back(metric_key::kWaiting, waited);
  if (product_seconds_ && !is_blockwise) record_.product_share = *product_seconds_ / seconds;
  return StepVerdict::kDone;
}

// A sequence's divergence may be a quarter off that of the next.
void Trainer::note_kl(double loss_kl) {
  constexpr double kNewest = 0.2;
  const std::optional<double> kl =
      options_.distill.kl_per_token(loss_kl, corpus_.sequence_length());
  if (!kl) return;
  std::optional<double>& recent = position_.recent_kl;
  recent = recent ? (1 - kNewest) * *recent + kNewest * *kl : *kl;
}

int64_t Trainer::own_sequences() const {
  const int64_t batch = options_.train.sequences_per_step(), world = communicator_.world();
  LB_ASSERT(batch % world == 0, "every process has as many sequences of a batch");
  return batch / world;
}

int64_t Trainer::micro_batches() const {
  const int64_t most = options_.train.micro_batch_size;
  return (own_sequences() + most - 1) / most;
}

std::optional<DistillationLoss> Trainer::accumulate() {
  // The global batch is the same for any number of processes; each takes its stretch of it.
  const int64_t batch = options_.train.sequences_per_step(), mine = own_sequences();
  const int64_t first = (blockwise_steps_ > 0 ? options_.blockwise.sequences : 0) +
                        (position_.step - blockwise_steps_) * batch + communicator_.rank() * mine;
  // Counts of the whole step scale each micro-batch's loss, so micro-batches only add up.
  DistillationLoss loss;
  for (int64_t done = 0; done < mine; done += options_.train.micro_batch_size) {
    // Before the first nobody asks: the loop has just done so, and it costs a message.
    if (done > 0 && communicator_.any(stop_requested())) {
      reducer_.drop();
      return std::nullopt;
    }
    const int64_t count = std::min(options_.train.micro_batch_size, mine - done);
    reducer_.begin_micro_batch();
    clock_.enter(static_cast<int>(StepPart::kData));
    // Places in the endless stream: consecutive numbers, which the sampler maps to blocks.
    std::vector<int64_t> places(static_cast<size_t>(count));
    std::iota(places.begin(), places.end(), first + done);
    loss += distillation_.accumulate(load_batch(places), batch, reducer_);
  }
  return loss;
}

// The limit that a step is held against: its matrix products, each alone. All processes measure at
// the same time, as they compute. Left out where it takes long, as with large models on a CPU.
void Trainer::measure_products() {
  has_measured_ = true;
  constexpr int64_t kRepeats = 5;
  constexpr double kMaxSeconds = 1;
  const Decoder& student = student_.decoder();
  std::vector<ScheduledProduct> products;
  const int64_t mine = own_sequences();
  for (int64_t done = 0; done < mine; done += options_.train.micro_batch_size) {
    const int64_t count = std::min(options_.train.micro_batch_size, mine - done);
    const auto of_this = step_products(student.spec(), plans_,
                                       schedule_of(teacher_, count, corpus_.sequence_length(),
                                                   options_.train.recompute == Recompute::kFull));
    products.insert(products.end(), of_this.begin(), of_this.end());
  }
  const DeviceTimer timer(student.device(), kRepeats);
  product_seconds_ = ProductTimes(timer, student.compute_dtype(), dense_weight(teacher_.head()))
                         .seconds_within(kMaxSeconds, products);
}

// Sequences of the endless stream as ids [N, T] on the device.
at::Tensor Trainer::load_batch(const std::vector<int64_t>& places) const {
  const auto count = static_cast<int64_t>(places.size());
  const at::Device device = student_.decoder().device();
  const int64_t length = corpus_.sequence_length();
  // Pinned memory: the copy does not wait.
  at::Tensor ids = at::empty({count, length}, at::TensorOptions().dtype(at::kInt).pinned_memory(
                                                  device_traits(device).pins_host_memory));
  int32_t* data = ids.data_ptr<int32_t>();
  for (int64_t i = 0; i < count; ++i) {
    corpus_.copy_block(sampler_.block_at(places[i]),
                       {data + i * length, static_cast<size_t>(length)});
  }
  return ids.to(device, /*non_blocking=*/true).to(at::kLong);
}

}  // namespace littlebit
