// The training state of one parameter group: this process's slice of the latents and their moments,
// and the moments of the vectors (whose values are the student's). The only source
// of names for what is written to and read from files: training checkpoints, initial factors.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/quant/initialize.h"
#include "littlebit/quant/student.h"

namespace littlebit {

enum class StateKind { kLatents, kScales, kBiasesAndNorms, kMoments };

// What this process holds of one named tensor.
struct StatePart {
  StateKind kind;
  std::string name;            // "<layer>.U", "exp_avg/<layer>.U", "exp_avg_sq/model.norm.weight"
  std::vector<int64_t> shape;  // of the whole tensor
  int64_t begin = 0;           // of its elements, the first that is here
  at::Tensor values;           // flat, shared storage
  bool is_everywhere = false;  // every process has the same: one of them writes it

  bool is_whole() const;
};

// Gives so many zeros in the host's memory, or where the host keeps what has no room there.
using StateKeeper = std::function<at::Tensor(int64_t numel, at::ScalarType dtype)>;

class GroupState {
 public:
  // Latents and moments are zero. Refers to the group, which must outlive it. With `keeper`,
  // latents and their moments are kept in what it gives, and are on the group's device between
  // load() and unload() only. All but the update itself is for a group that is not loaded too.
  GroupState(StudentGroup& group, Slice slice, const StateKeeper& keeper = {});

  bool is_kept() const { return !kept_.empty(); }  // elsewhere, loaded or not
  // Nothing where it is done already, or nothing is kept elsewhere.
  void load();
  void unload();
  void load_for_good();  // from then on, nothing is kept elsewhere

  const Slice& slice() const { return slice_; }
  StudentGroup& group() const { return *group_; }

  const at::Tensor& latents() const { return latents_; }                      // [slice().size()]
  const at::Tensor& exp_avg() const { return exp_avg_; }                      // [slice().size()]
  const at::Tensor& exp_avg_sq() const { return exp_avg_sq_; }                // [slice().size()]
  const at::Tensor& vector_exp_avg() const { return vector_exp_avg_; }        // [num_vectors]
  const at::Tensor& vector_exp_avg_sq() const { return vector_exp_avg_sq_; }  // [num_vectors]

  // Every part in a fixed order: weights, then their first moments, then the second. Every process
  // has all of the vectors.
  void visit(const std::function<void(const StatePart&)>& visit) const;

  // The slice's part of a layer's latents, each matrix brought to the root mean square `rms` where
  // that is not 0.
  void set_latents(size_t layer, const LayerFactors& factors, double rms = 0);

  void forget_moments() const;  // they are zero again

  // The student's bits of the slice become the signs of its latents; adds how many changed to
  // `flips` (int64, one element, on the latents' device; undefined: not counted).
  void update_bits(const at::Tensor& flips = {}) const;

 private:
  bool is_loaded() const;
  // What is kept elsewhere, in this order in kept_ too.
  std::array<at::Tensor*, 3> large() { return {&latents_, &exp_avg_, &exp_avg_sq_}; }

  StudentGroup* group_;
  Slice slice_;
  at::Tensor latents_, exp_avg_, exp_avg_sq_, vector_exp_avg_, vector_exp_avg_sq_;
  std::vector<at::Tensor> kept_;
};

// `latents` times a positive number, so that their root mean square is `rms`; zeros stay. Signs
// stay too, also of what becomes too small for the type.
at::Tensor with_rms(const at::Tensor& latents, double rms);

// Initial factors into the student, and their latents into the states' slices.
class LatentSink : public StudentSink {
 public:
  // `latent_rms`: quant.latent_rms.
  LatentSink(Student& student, std::span<GroupState> states, double latent_rms = 0)
      : StudentSink(student), states_(states), latent_rms_(latent_rms) {}
  void put(size_t group, size_t layer, const LayerFactors& factors,
           const at::Tensor& bias) override;

 private:
  std::span<GroupState> states_;
  double latent_rms_;
};

}  // namespace littlebit
