// The gradients of one parameter group, in the group's layout: accumulated leaf by leaf as backward
// passes deliver them, finished once, passed on, cleared.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "littlebit/quant/student.h"

namespace littlebit {

// Takes what backward passes deliver.
class GradientSink {
 public:
  virtual ~GradientSink() = default;

  // A group's backward of a micro-batch is done: its gradients by group.leaves(), in their order;
  // an undefined one is zero. They are the sink's from here on.
  virtual void add(size_t group, const std::vector<at::Tensor>& leaf_gradients) = 0;
};

class GroupGradients {
 public:
  // Refers to the group, which must outlive it. Memory is taken by the first add().
  explicit GroupGradients(const StudentGroup& group) : group_(&group) {}
  // In the memory given, [num_latents] and [num_vectors], whatever it holds.
  GroupGradients(const StudentGroup& group, at::Tensor latents, at::Tensor vectors)
      : group_(&group), latents_(std::move(latents)), vectors_(std::move(vectors)) {}

  bool is_empty() const { return state_ == State::kEmpty; }  // nothing was added since clear()

  // Adds the gradients by group.leaves(), in their order; an undefined one is zero.
  void add(const std::vector<at::Tensor>& leaf_gradients);

  // After the last add(): turns dLoss/d(W1, W2, L) into dLoss/d(sign(U), sign(V), u1, u2, v1, v2)
  // in place (specs section 1). The result is linear in the sums, given signs and scales: it may be
  // summed over processes afterwards. What remains for the owner of the latents is the surrogate's
  // derivative. LB_ASSERT that something was added, and that it is the first time.
  void finish();

  // Finished only. In place, for the optimizer.
  const at::Tensor& latents() const;  // [num_latents]
  const at::Tensor& vectors() const;  // [num_vectors]

  void clear() { state_ = State::kEmpty; }  // as before the first add(); the memory is kept

 private:
  enum class State { kEmpty, kSums, kFinished };
  const StudentGroup* group_;
  State state_ = State::kEmpty;
  at::Tensor latents_, vectors_;
};

// One for each of the student's groups.
std::vector<GroupGradients> gradients_of(const Student& student);

// Adds up in one GroupGradients per group.
class GradientSums : public GradientSink {
 public:
  explicit GradientSums(std::span<GroupGradients> sums) : sums_(sums) {}
  void add(size_t group, const std::vector<at::Tensor>& leaf_gradients) override {
    sums_[group].add(leaf_gradients);
  }

 private:
  std::span<GroupGradients> sums_;
};

}  // namespace littlebit
