// AdamW over the student's flat buffers, each process on its slice of the latents.
//
// One step, after the last micro-batch was added (docs/architecture.md, "The step"): gradients of
// every group are finished, summed over processes, multiplied by the surrogate's derivative
// (reduce); then one global norm over all trainables, the clipping coefficient min(1, max / (norm +
// 1e-6)), AdamW (PyTorch's formula, bias-corrected), new sign bits (step). Weight decay acts on
// latents and scales, not on biases and norms (the rule of Hugging Face's trainer). fp32; fp64
// where the student is fp64 (tests). Nothing here waits for the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "littlebit/distributed/communicator.h"
#include "littlebit/optim/gradients.h"
#include "littlebit/optim/group_state.h"
#include "littlebit/optim/schedule.h"

namespace littlebit {

// On the device until somebody reads them.
struct StepStatistics {
  at::Tensor squared_norm;  // of all gradients before clipping; a double scalar
  at::Tensor sign_flips;    // an int64 scalar: latent signs this update changed in this slice
  int64_t num_latents = 0;  // of the groups that were updated

  // `flips`: sign_flips, read.
  double flip_fraction(double flips) const;
  // They wait for the device.
  double read_gradient_norm() const;
  double read_sign_flip_fraction() const;
};

class Optimizer {
 public:
  // Keeps references: student and communicator outlive it. Latents and moments start at zero; put
  // the start in through LatentSink(student, states()). `keeper`: as GroupState; only groups that
  // are loaded can be stepped.
  Optimizer(Student& student, const OptimOptions& options, Surrogate surrogate,
            Communicator& communicator = solo(), const StateKeeper& keeper = {});

  // For every group once per step, in any order; a group without gradients is left as it is by the
  // step. Finished gradients, summed over processes: this process's slice of the latents, and the
  // vectors, both of which become what the step needs of them. They stay until the step.
  void accept(size_t group, const at::Tensor& latents, const at::Tensor& vectors);

  // Finishes, sums over processes and accepts. Collective: in the same order in all processes.
  void reduce(size_t group, GroupGradients& gradients);

  // Updates the accepted groups and clears what reduce() took. `step` counts from 1 (bias
  // correction). `must_be_finite` (fp64, on the device; a process's summands) becomes the sums over
  // processes. Where one, or the gradient norm, is not finite nothing is updated; whoever reads the
  // statistics sees it.
  StepStatistics step(int64_t step, const Rates& rates, const at::Tensor& must_be_finite = {});

  // As above with one rate, for every group.
  StepStatistics step(std::span<GroupGradients> gradients, int64_t step, double learning_rate);

  // The student's bits become the signs of the latents, in all processes: after latents were read.
  void refresh_bits();

  // Whether latents and moments of all groups are not in memory at once.
  bool is_kept() const { return states_.at(0).is_kept(); }

  std::vector<GroupState>& states() { return states_; }
  const std::vector<GroupState>& states() const { return states_; }
  Student& student() { return student_; }
  const Student& student() const { return student_; }
  Communicator& communicator() const { return communicator_; }

 private:
  struct Reduced {
    GroupState* state;
    at::Tensor latents;  // this process's slice of the summed gradients
    at::Tensor vectors;
    GroupGradients* gradients = nullptr;  // to be cleared
  };

  Student& student_;
  OptimOptions options_;
  Surrogate surrogate_;
  Communicator& communicator_;
  std::vector<GroupState> states_;
  std::vector<Reduced> reduced_;
  at::Tensor squared_norm_;  // of what was reduced, this process's share
};

}  // namespace littlebit
