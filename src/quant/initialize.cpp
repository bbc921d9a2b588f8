// Start factors for all layers: made from the teacher's weights, a layer a thread and the largest
// first, or read from a file. Each thread holds one layer's weight at a time.
#include "littlebit/quant/initialize.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/strings.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/starts.h"

namespace littlebit {
namespace {

// Where the i-th linear layer of the decoder stands.
struct LayerPlace {
  LinearSlot* slot;
  size_t group, layer;  // the layer's number inside the group
};

// Restores the number of ATen's threads, which the workers set to one.
class OneThreadEach {
 public:
  OneThreadEach() : threads_(at::get_num_threads()) {}
  ~OneThreadEach() { at::set_num_threads(threads_); }
  OneThreadEach(const OneThreadEach&) = delete;
  OneThreadEach& operator=(const OneThreadEach&) = delete;
  int threads() const { return threads_; }

 private:
  int threads_;
};

std::vector<LayerPlace> places(Decoder& decoder) {
  std::vector<LayerPlace> all;
  for (int64_t group = 0; group < decoder.num_groups(); ++group) {
    size_t layer = 0;
    decoder.visit_linears(group, [&](LinearSlot& slot) {
      all.push_back({&slot, static_cast<size_t>(group), layer++});
    });
  }
  return all;
}

}  // namespace

void StudentSink::put(size_t group, size_t layer, const LayerFactors& factors,
                      const at::Tensor& bias) {
  student_.groups()[group].set_layer(layer, factors, bias);
}

std::vector<LayerReport> factorize_model(StudentSink& sink, const HfFolder& teacher_folder,
                                         std::span<const LayerPlan> plans,
                                         const QuantOptions& options, uint64_t seed,
                                         const std::function<void(const LayerReport&)>& done,
                                         const LayerKeeper& keeper) {
  const std::vector<LayerPlace> layers = places(sink.student().decoder());
  LB_ASSERT(layers.size() == plans.size(), "a plan for every layer");
  std::vector<LayerReport> reports(layers.size());

  // The largest layers first, each on one thread, handed out one by one.
  std::vector<size_t> order(layers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto work = [&](size_t i) {
    return static_cast<double>(plans[i].d_in) * static_cast<double>(plans[i].d_out) *
           static_cast<double>(plans[i].rank);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return work(a) > work(b); });

  // Threads of our own, each with one of ATen's: MKL's LAPACK must not be entered from an OpenMP
  // region (it waits there for threads that it does not get).
  const OneThreadEach guard;
  std::mutex mutex;
  size_t ready = 0;
  parallel_for(static_cast<int64_t>(order.size()), guard.threads(), [&](int64_t taken) {
    if (stop_requested()) return;
    at::set_num_threads(1);
    c10::NoGradGuard no_grad;
    const size_t i = order[taken];
    const LayerPlace& place = layers[i];
    std::optional<LayerFactors> kept;
    if (keeper.find) kept = keeper.find(plans[i]);
    const LayerFactors factors =
        kept ? std::move(*kept)
             : factorize_layer(
                   {.weight = load_slot_weight(teacher_folder, *place.slot, at::kFloat, at::kCPU),
                    .plan = plans[i],
                    .seed = seed},
                   options);
    if (!kept && keeper.keep) keeper.keep(plans[i], factors);
    const at::Tensor bias = load_slot_bias(teacher_folder, *place.slot, at::kFloat, at::kCPU);
    sink.put(place.group, place.layer, factors, bias);
    reports[i] = {plans[i], factors.relative_error, factors.seconds};
    const std::lock_guard lock(mutex);
    ++ready;
    if (done) done(reports[i]);
  });
  if (ready < layers.size()) {
    throw Error(ExitCode::kStopped, "told to stop while factorising: " + std::to_string(ready) +
                                        " of " + std::to_string(layers.size()) +
                                        " layers are made");
  }
  return reports;
}

std::vector<LayerPlan> plan_from_file(Decoder& decoder, const FactorFile& file,
                                      std::span<const LayerPlan> expected) {
  std::vector<LayerPlan> plans;
  std::vector<std::string> missing, different;
  size_t next = 0;
  decoder.visit_linears([&](LinearSlot& slot) {
    const size_t i = next++;
    if (!file.has_layer(slot.name)) {
      missing.push_back(slot.name);
      return;
    }
    plans.push_back(file.plan(slot.name, slot.d_in, slot.d_out));
    if (expected.empty()) return;
    const LayerPlan &have = plans.back(), &want = expected[i];
    if (have.rank != want.rank || have.paths != want.paths) {
      different.push_back(slot.name + ": rank " + std::to_string(have.rank) + " x " +
                          std::to_string(have.paths) + " path(s) in the file, " +
                          std::to_string(want.rank) + " x " + std::to_string(want.paths) +
                          " by the configuration");
    }
  });
  if (!missing.empty()) {
    throw InputError(
        file.where() + " has no LittleBit layer " + join(missing, ", "),
        "layers are named as in the Hugging Face model: <layer>.U_packed or <layer>.U, and so on");
  }
  if (!different.empty()) {
    const size_t count = different.size();
    different.resize(std::min<size_t>(count, 3));
    if (count > 3) different.push_back("... and " + std::to_string(count - 3) + " more");
    throw UsageError(file.where() + " contradicts the configuration: " + join(different, "; "),
                     "leave quant.bits_per_weight, residual, kv_factor and min_rank unset: ranks "
                     "and paths come from "
                     "the file");
  }
  return plans;
}

std::vector<LayerReport> load_factors(StudentSink& sink, const FactorFile& file,
                                      std::span<const LayerPlan> plans,
                                      const HfFolder* teacher_folder) {
  c10::NoGradGuard no_grad;
  Decoder& decoder = sink.student().decoder();
  const std::vector<LayerPlace> layers = places(decoder);
  LB_ASSERT(layers.size() == plans.size(), "a plan for every layer");
  const at::ScalarType dtype = decoder.residual_dtype();
  std::vector<LayerReport> reports;
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerPlace& place = layers[i];
    const LayerFactors factors = file.load(plans[i], dtype);
    at::Tensor bias;
    if (place.slot->has_bias) {
      const TensorView* view = file.find(place.slot->name + ".bias");
      if (view) {
        bias = load_tensor(*view, dtype, at::kCPU, file.where());
        if (bias.numel() != place.slot->d_out) {
          throw InputError("tensor " + view->name + " has shape " + shape_text(view->shape) +
                           ", expected " + std::to_string(place.slot->d_out) + " numbers");
        }
      } else if (teacher_folder) {
        bias = load_slot_bias(*teacher_folder, *place.slot, dtype, at::kCPU);
      } else {
        throw InputError("no tensor " + place.slot->name + ".bias beside the layer's factors");
      }
    }
    sink.put(place.group, place.layer, factors, bias);
    LayerReport report{.plan = plans[i]};
    if (teacher_folder) {
      const at::Tensor weight = load_slot_weight(*teacher_folder, *place.slot, dtype, at::kCPU);
      at::Tensor rest = weight;
      for (const FactorPath& path : factors.paths) rest = rest - effective_weight(path);
      const double whole = at::linalg_vector_norm(weight).item<double>();
      if (whole > 0) report.relative_error = at::linalg_vector_norm(rest).item<double>() / whole;
    }
    reports.push_back(std::move(report));
  }
  decoder.visit_parameters([&](Parameter& parameter) {
    const TensorView* view = file.find(parameter.name);
    if (!view) return;
    const at::Tensor value = load_tensor(*view, dtype, parameter.value.device(), file.where());
    if (value.sizes() != parameter.value.sizes()) {
      throw InputError("tensor " + view->name + " has shape " + shape_text(view->shape) +
                       ", the model's is " + shape_text(parameter.value.sizes().vec()));
    }
    parameter.value.copy_(value);
  });
  return reports;
}

}  // namespace littlebit
