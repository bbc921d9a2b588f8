// Invariant: at most one group's gradients are in flight, while the next one's are made. The
// optimizer gets a group's when they have landed, in the order of the last backward passes.
//
//     late    each micro-batch: whole sums += ...; after the last one, group by group: finish, send
//     early   each micro-batch, group by group: whole gradients in a shared buffer, finish, send;
//             what lands is added to this process's slice
//
// Late holds whole sums of every group for the whole step; early sends as often as there are
// micro-batches.
#include "littlebit/optim/gradient_reducer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "littlebit/core/error.h"
#include "littlebit/core/kill_point.h"

namespace littlebit {
namespace {

constexpr int kMaxBuffers = 2;  // one is filled, one travels

}  // namespace

GradientReducer::GradientReducer(Optimizer& optimizer, const ReduceOptions& options,
                                 int64_t micro_batches)
    : optimizer_(optimizer),
      communicator_(optimizer.communicator()),
      options_(options),
      micro_batches_(micro_batches),
      // Nobody needs the whole of what it has given away, to other processes or to the host. With
      // one micro-batch both ways give the same bits, and this one takes less memory.
      early_(options.when == GradientReduce::kMicrobatch ||
             (communicator_.world() > 1 && options.when == GradientReduce::kAuto) ||
             ((communicator_.world() > 1 || optimizer.copies_latents()) && micro_batches == 1)),
      keeps_slices_(micro_batches > 1 || !optimizer.copies_latents()),
      groups_(optimizer.states().size()) {
  LB_ASSERT(micro_batches > 0, "a step has micro-batches");
}

// Of what lives as long as this: by the first micro-batch, when a step is due anyway.
void GradientReducer::take_memory() {
  int64_t num_vectors = 0, most_vectors = 0;
  for (const GroupState& state : optimizer_.states()) {
    num_vectors += state.group().layout().num_vectors;
    most_vectors = std::max(most_vectors, state.group().layout().num_vectors);
  }
  const at::TensorOptions options = optimizer_.states().at(0).group().vectors().options();
  all_vectors_ = at::empty({num_vectors}, options);
  if (early_) scratch_ = at::empty({most_vectors}, options);
  int64_t begin = 0;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const GroupState& state = optimizer_.states()[i];
    const GroupLayout& layout = state.group().layout();
    Group& group = groups_[i];
    group.vectors = all_vectors_.narrow(0, begin, layout.num_vectors);
    begin += layout.num_vectors;
    if (early_) {
      if (keeps_slices_) group.latents = at::empty({state.slice().size()}, options);
    } else {
      group.whole.emplace(state.group(), at::empty({layout.num_latents}, options), group.vectors);
    }
  }
}

void GradientReducer::begin_micro_batch() {
  if (!all_vectors_.defined()) take_memory();
  LB_ASSERT(begun_ < micro_batches_, "a step has no more micro-batches");
  ++begun_;
}

// A buffer for the whole gradients of any group.
at::Tensor GradientReducer::take_buffer() {
  if (buffers_.empty() && num_buffers_ == kMaxBuffers) land();
  if (!buffers_.empty()) {
    at::Tensor buffer = std::move(buffers_.back());
    buffers_.pop_back();
    return buffer;
  }
  ++num_buffers_;
  int64_t most = 0;
  for (const GroupState& state : optimizer_.states()) {
    most = std::max(most, state.group().layout().num_latents);
  }
  return at::empty({most}, all_vectors_.options());
}

void GradientReducer::add(size_t index, const std::vector<at::Tensor>& leaf_gradients) {
  c10::NoGradGuard no_grad;
  const StudentGroup& of = optimizer_.states()[index].group();
  const GroupLayout& layout = of.layout();
  if (layout.is_empty()) return;
  Group& group = groups_[index];
  if (!early_) {
    group.whole->add(leaf_gradients);
    group.has_vectors = true;
    // The chain rule is linear in the sums: applied once, at the end, it covers all micro-batches.
    if (begun_ < micro_batches_) return;
    group.whole->finish();
    send(index, group.whole->latents(), {});
    return;
  }
  at::Tensor buffer = take_buffer();
  // A shared buffer for the latents' gradients, of which a slice remains; vectors are small and are
  // accumulated here, to be summed over processes once a step.
  GroupGradients sums(of, buffer.narrow(0, 0, layout.num_latents),
                      scratch_.narrow(0, 0, layout.num_vectors));
  sums.add(leaf_gradients);
  sums.finish();
  if (std::exchange(group.has_vectors, true)) {
    group.vectors.add_(sums.vectors());
  } else {
    group.vectors.copy_(sums.vectors());
  }
  send(index, sums.latents(), std::move(buffer));
}

// `latents`: the whole gradients, which stay untouched until they have landed.
void GradientReducer::send(size_t index, const at::Tensor& latents, at::Tensor buffer) {
  const Slice slice = optimizer_.states()[index].slice();
  at::Tensor travelling = latents;
  if (options_.dtype == FloatKind::kBf16 && communicator_.world() > 1) {
    // The copy travels, so the buffer of whole gradients is free at once.
    travelling = latents.to(at::kBFloat16);
    if (buffer.defined()) buffers_.push_back(std::exchange(buffer, {}));
  }
  land();
  kill_point("reduce");
  flight_ = {.group = index,
             .is_last = begun_ == micro_batches_,
             .pending = communicator_.start_reduce_scatter_sum(travelling, slice.begin, slice.end),
             .buffer = std::move(buffer)};
  // What has arrived already only takes up a buffer.
  if (!communicator_.is_asynchronous()) land();
}

// What is in flight, if anything, into its group.
void GradientReducer::land() {
  if (!flight_) return;
  Flight flight = *std::exchange(flight_, std::nullopt);
  Group& group = groups_[flight.group];
  // With asynchronous communication the next group's backward has run meanwhile.
  const at::Tensor slice = flight.pending.wait();
  const bool is_further = std::exchange(group.has_latents, true);
  // Four cases: handed on at once to the optimizer, which copies it; a further micro-batch's,
  // added; the first one's, copied; late, where the slice is the sum itself, or arrived in bf16 and
  // is widened into it.
  if (early_ && !keeps_slices_) {
    group.latents = slice.to(all_vectors_.scalar_type());
  } else if (early_ && is_further) {
    group.latents.add_(slice);
  } else if (early_) {
    group.latents.copy_(slice);
  } else if (slice.scalar_type() == group.whole->latents().scalar_type()) {
    group.latents = slice;
  } else {
    const Slice mine = optimizer_.states()[flight.group].slice();
    group.latents = group.whole->latents().narrow(0, mine.begin, mine.size());
    group.latents.copy_(slice);
  }
  if (flight.is_last) optimizer_.accept_latents(flight.group, group.latents);
  if (early_ && !keeps_slices_) group.latents.reset();
  if (flight.buffer.defined()) buffers_.push_back(std::move(flight.buffer));
}

void GradientReducer::finish() {
  LB_ASSERT(begun_ == micro_batches_, "every micro-batch of the step was begun");
  c10::NoGradGuard no_grad;
  land();
  // One message for the vectors of all groups.
  communicator_.all_reduce_sum(all_vectors_);
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].has_vectors) optimizer_.accept_vectors(i, groups_[i].vectors);
  }
  clear();
}

void GradientReducer::drop() {
  land();
  optimizer_.drop();
  clear();
}

void GradientReducer::clear() {
  begun_ = 0;
  for (Group& group : groups_) {
    group.has_latents = group.has_vectors = false;
    if (group.whole) group.whole->clear();
  }
}

}  // namespace littlebit
