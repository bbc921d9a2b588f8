// AdamW over the student's flat buffers, each process on its slice of the latents.
//
// One step, after the last micro-batch was added (docs/architecture.md, "The step"): gradients of
// every group are finished, summed over processes, multiplied by the surrogate's derivative
// (reduce); then one global norm over all trainables, the clipping coefficient min(1, max / (norm +
// 1e-6)), AdamW (PyTorch's formula, bias-corrected), new sign bits (step). Weight decay acts on
// latents and scales, not on biases and norms (the rule of Hugging Face's trainer). fp32; fp64
// where the student is fp64 (tests).
//
// Two passes over a slice (ops/latent_gradients.h, update_latents.h): the surrogate and the norm
// when a group's gradients are there, the rest when the norm of all is known. Nothing here waits
// for the device, with one exception: where latents and moments are in the host's memory
// (optim.state_device: cpu), gradients are copied there as they come, a thread makes the first
// pass, and step() waits once, for the norm; what it returns is then on the host, and of the second
// pass the sign bits go back.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "littlebit/distributed/communicator.h"
#include "littlebit/optim/gradients.h"
#include "littlebit/optim/group_state.h"
#include "littlebit/optim/schedule.h"

namespace littlebit {

class Worker;

// Where the latents are, until somebody reads them.
struct StepStatistics {
  at::Tensor squared_norm;  // of all gradients before clipping; a double scalar
  at::Tensor sums;          // of it and of what must be finite, [1 + as many], double
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
  ~Optimizer();

  // For every group once per step, in any order; a group without gradients is left as it is by the
  // step. Finished gradients, summed over processes: this process's slice of the latents, and the
  // vectors, both of which become what the step needs of them. They stay until the step.
  void accept(size_t group, const at::Tensor& latents, const at::Tensor& vectors);

  // The same in two: latents as soon as they are there, so that what is to be done with them is
  // done beside the backward pass, then the vectors. drop(): what was accepted is not.
  void accept_latents(size_t group, const at::Tensor& latents);
  void accept_vectors(size_t group, const at::Tensor& vectors);
  void drop();
  // Whether accept_latents() copies: what it was given may then be overwritten on the device.
  bool copies_latents() const { return worker_ != nullptr; }

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
  // This process's slice of a group's gradients from `begin` on, where its latents are.
  struct Piece {
    int64_t begin;
    at::Tensor gradients;
  };
  struct Accepted {
    std::vector<Piece> latents;
    at::Tensor vectors;                   // undefined: none were accepted
    GroupGradients* gradients = nullptr;  // to be cleared
  };

  at::Device device() const { return student_.decoder().device(); }
  void add_latents(const GroupState& state, const Piece& piece, const at::Tensor& squared_norm);
  std::vector<Piece> copy_to_host(size_t group, const at::Tensor& latents);
  void update_vectors(size_t group, const at::Tensor& clip, int64_t step, const Rates& rates);
  void update_latents(size_t group, const at::Tensor& clip, int64_t step, const Rates& rates,
                      const at::Tensor& flips);

  Student& student_;
  OptimOptions options_;
  Surrogate surrogate_;
  Communicator& communicator_;
  at::Device state_device_;
  std::vector<GroupState> states_;
  std::vector<Accepted> accepted_;          // by group
  at::Tensor squared_norm_;                 // of what was accepted, this process's share
  at::Tensor host_squared_norm_;            // of latents, where they are on the host
  std::vector<std::vector<Piece>> copies_;  // of gradients on the host, by group
  std::unique_ptr<Worker> worker_;          // there is one where there are copies
};

}  // namespace littlebit
