// Gradient accumulation: gradients of a step from the backward passes to the optimizer, finished,
// summed over processes, with this process's slice of the latents kept. Either every group's sums
// stay whole until the step's last micro-batch, or they leave after every backward: then whole
// gradients exist of one group only (two, where one travels beside the next one's backward), in
// buffers that all groups share, and each process adds up its slices.
//
// The chain rule is linear in the sums, so both ways give the same numbers but for rounding; with
// one micro-batch a step, the same bits.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "littlebit/core/kinds.h"
#include "littlebit/distributed/communicator.h"
#include "littlebit/optim/gradients.h"
#include "littlebit/optim/optimizer.h"

namespace littlebit {

enum class GradientReduce { kAuto, kStep, kMicrobatch };

struct ReduceOptions {
  GradientReduce when = GradientReduce::kAuto;  // kAuto: kStep for one process
  // What gradients of latents travel in between processes; they are added up in fp32 here.
  FloatKind dtype = FloatKind::kFp32;
};

// One step: begin_micro_batch() and its backward passes for each micro-batch, finish(),
// Optimizer::step(). All processes do the same in the same order.
class GradientReducer : public GradientSink {
 public:
  // Keeps a reference: the optimizer outlives it. `micro_batches`: of a step.
  GradientReducer(Optimizer& optimizer, const ReduceOptions& options, int64_t micro_batches);

  void begin_micro_batch();
  // After the last micro-batch's backward of a group, or after every one, its gradients leave.
  void add(size_t group, const std::vector<at::Tensor>& leaf_gradients) override;
  void finish();  // after the last micro-batch: the optimizer has accepted all
  void drop();    // the step is not taken: as before its first micro-batch

  // Whether gradients leave after every backward, so that whole ones are never of all groups.
  bool is_early() const { return early_; }

 private:
  struct Group {
    std::optional<GroupGradients> whole;  // late: the sums
    at::Tensor vectors;                   // the sums, a view of all_vectors_
    at::Tensor latents;                   // the slice; early: the sums
    bool has_latents = false, has_vectors = false;
  };
  struct Flight {
    size_t group;
    bool is_last;  // of the step
    Pending pending;
    at::Tensor buffer;  // to be used again; undefined: none
  };

  void take_memory();
  void send(size_t group, const at::Tensor& latents, at::Tensor buffer);
  void land();
  at::Tensor take_buffer();
  void clear();

  Optimizer& optimizer_;
  Communicator& communicator_;
  ReduceOptions options_;
  int64_t micro_batches_, begun_ = 0;
  bool early_;
  bool keeps_slices_;  // early: from one micro-batch to the next, or for the optimizer
  std::vector<Group> groups_;
  at::Tensor all_vectors_, scratch_;  // scratch_: vectors of one group and micro-batch
  std::vector<at::Tensor> buffers_;   // of whole gradients, those not in use
  int num_buffers_ = 0;
  std::optional<Flight> flight_;
};

}  // namespace littlebit
