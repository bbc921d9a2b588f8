// Gives a student its initial factors: by factorising the teacher's weights, or from a file.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "littlebit/distributed/communicator.h"
#include "littlebit/quant/factor_file.h"
#include "littlebit/quant/student.h"

namespace littlebit {

struct LayerReport {
  LayerPlan plan;
  double relative_error = 0;
  double seconds = 0;
};

// A cache of finished layers, which a later start of the program reads. Called by
// several threads at once, each for a layer of its own.
struct LayerKeeper {
  std::function<std::optional<LayerFactors>(const LayerPlan& plan)> find;
  std::function<void(const LayerPlan& plan, const LayerFactors& factors)> keep;
};

// Where factors go as they are made or read. This one gives the student its signs, scales and
// biases; optim's LatentSink keeps the latents too.
class StudentSink {
 public:
  explicit StudentSink(Student& student) : student_(student) {}
  virtual ~StudentSink() = default;
  Student& student() const { return student_; }
  // Of several threads at once, each for a layer of its own. `layer`: its number in the group.
  virtual void put(size_t group, size_t layer, const LayerFactors& factors, const at::Tensor& bias);

 private:
  Student& student_;
};

// Layers are factorised in parallel, one thread each; `done` is called for each as it is ready
// (from any thread, one at a time), the result is in layer order and does not depend on the number
// of threads. Biases come from `teacher_folder`. InputError naming the tensor where a weight is
// missing, misshapen or not finite. A stop request ends it after the layers under way (an Error of
// kStopped that counts those made); with `keeper` they are kept, and taken from it where they are
// there already.
// `processes` divide the layers: each is made (or found) in one of them, which calls `keeper`, and
// handed out to all. The factors are the same for any number of processes. Collective; what fails,
// or stops, in one does so in all.
std::vector<LayerReport> factorize_model(StudentSink& sink, const HfFolder& teacher_folder,
                                         std::span<const LayerPlan> plans,
                                         const QuantOptions& options, uint64_t seed,
                                         const std::function<void(const LayerReport&)>& done,
                                         const LayerKeeper& keeper = {},
                                         Communicator& processes = solo());

// Plans of every layer as `file` has them. InputError: a layer is missing (all are named).
// UsageError: `expected` (plans by the configuration, empty: none asked for) has other ranks or
// paths.
std::vector<LayerPlan> plan_from_file(Decoder& decoder, const FactorFile& file,
                                      std::span<const LayerPlan> expected);

// Factors, biases and norm parameters from `file`; what it lacks of biases comes from
// `teacher_folder` where given, of norm parameters stays as it is. relative_error is against the
// teacher's weights where `teacher_folder` is given. InputError naming the tensor that is missing,
// has another shape or is not finite.
std::vector<LayerReport> load_factors(StudentSink& sink, const FactorFile& file,
                                      std::span<const LayerPlan> plans,
                                      const HfFolder* teacher_folder);

}  // namespace littlebit
