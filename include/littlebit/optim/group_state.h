// The training state of one parameter group: this process's slice of the latents and their moments,
// and the moments of the vectors (whose values are the student's). The only source
// of names for what is written to and read from files: training checkpoints, initial factors.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/ops/update_latents.h"
#include "littlebit/optim/options.h"
#include "littlebit/quant/initialize.h"
#include "littlebit/quant/student.h"

namespace littlebit {

enum class StateKind { kLatents, kScales, kBiasesAndNorms, kMoments };

// What this process holds of one named tensor.
struct StatePart {
  StateKind kind;
  // "<layer>.U", "exp_avg/<layer>.U", "exp_avg_sq/model.norm.weight"; of codes of 8 bits the
  // blocks' scales too: "exp_avg_scale/<layer>.U", "exp_avg_sq_scale/<layer>.U"
  std::string name;
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
  // Latents and moments are zero; those of latents are of type `moments` (kFp32: of the latents'
  // own), and with them on `device`, if not the student's. Refers to the group, which must outlive
  // it. With `keeper`, latents and their moments are kept in what it gives, and are on the device
  // between load() and unload() only. All but the update itself is for a group that is not loaded
  // too.
  GroupState(StudentGroup& group, Slice slice, MomentType moments = MomentType::kFp32,
             std::optional<at::Device> device = std::nullopt, const StateKeeper& keeper = {});

  bool is_kept() const { return !kept_.empty(); }  // elsewhere, loaded or not
  // Nothing where it is done already, or nothing is kept elsewhere.
  void load();
  void unload();
  void load_for_good();  // from then on, nothing is kept elsewhere

  const Slice& slice() const { return slice_; }
  StudentGroup& group() const { return *group_; }

  const at::Tensor& latents() const { return latents_; }                      // [slice().size()]
  const LatentMoments& moments() const { return moments_; }                   // of them
  const at::Tensor& exp_avg() const { return moments_.exp_avg; }              // [slice().size()]
  const at::Tensor& exp_avg_sq() const { return moments_.exp_avg_sq; }        // [slice().size()]
  const at::Tensor& vector_exp_avg() const { return vector_exp_avg_; }        // [num_vectors]
  const at::Tensor& vector_exp_avg_sq() const { return vector_exp_avg_sq_; }  // [num_vectors]

  // Every part in a fixed order: weights, then their first moments, then the second, then scales of
  // codes. Every process has all of the vectors.
  void visit(const std::function<void(const StatePart&)>& visit) const;

  // The slice's part of a layer's latents, each matrix brought to the root mean square `rms` where
  // that is not 0.
  void set_latents(size_t layer, const LayerFactors& factors, double rms = 0);

  void forget_moments();  // they are zero again

  // What all processes' parts take together: as visit() gives them, without gaps.
  int64_t whole_bytes() const;

  // The student's bits of the slice become the signs of its latents.
  void update_bits() const;

  // The slice's bits where the latents are: the student's own, or a copy, which give_bits() then
  // makes the student's. Nothing waits.
  const at::Tensor& words() const;
  void give_bits() const;

 private:
  bool is_loaded() const;
  bool is_apart() const { return device_ != group_->bits().device(); }
  // What is kept elsewhere, in this order in kept_ too.
  std::array<at::Tensor*, 5> large() {
    return {&latents_, &moments_.exp_avg, &moments_.exp_avg_sq, &moments_.average_scales,
            &moments_.root_scales};
  }

  StudentGroup* group_;
  Slice slice_;
  at::Device device_;  // where latents are updated
  at::Tensor latents_, vector_exp_avg_, vector_exp_avg_sq_;
  LatentMoments moments_;
  std::vector<at::Tensor> kept_;
  mutable at::Tensor words_;  // from the first time that they are asked for
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
