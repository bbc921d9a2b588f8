// Initial factors for all layers: made from the teacher's weights, a layer a thread and the
// costliest first, or read from a file. Each thread holds one layer's weight at a time. Several
// processes work in rounds of a layer for each of their threads, all of about the same cost, and
// hand out what a round made: a process holds factors of one round, whatever the model.
#include "littlebit/quant/initialize.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "littlebit/core/error.h"
#include "littlebit/core/parallel.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/strings.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/models/load.h"
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

// By falling cost: rows x columns x rank, what the products of a layer's randomised SVD and of its
// rotations grow with. Were a large layer taken last, all other threads would wait for it.
std::vector<size_t> costliest_first(std::span<const LayerPlan> plans) {
  std::vector<size_t> order(plans.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto work = [&](size_t i) {
    return static_cast<double>(plans[i].d_in) * static_cast<double>(plans[i].d_out) *
           static_cast<double>(plans[i].rank);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return work(a) > work(b); });
  return order;
}

// The factors of `plan`, which process `owner` has (`own`), in all processes: one buffer. `device`:
// what the processes are connected on.
LayerFactors broadcast(Communicator& processes, int64_t owner, const LayerPlan& plan,
                       const std::optional<LayerFactors>& own, at::Device device) {
  const int64_t m = plan.d_out, n = plan.d_in, r = plan.rank;
  const int64_t size = m * r + r * n + m + 2 * r + n;  // of a path
  at::Tensor flat = at::empty({plan.paths * size}, at::kFloat);
  at::Tensor numbers = at::zeros({2}, at::kDouble);
  LayerFactors factors;
  int64_t next = 0;
  const auto part = [&](at::IntArrayRef shape) {
    const int64_t count = c10::multiply_integers(shape);
    next += count;
    return flat.narrow(0, next - count, count).view(shape);
  };
  const auto set_views = [&] {
    next = 0;
    factors.paths.clear();
    for (int p = 0; p < plan.paths; ++p) {
      factors.paths.push_back({.U = part({m, r}),
                               .V = part({r, n}),
                               .u1 = part({m}),
                               .u2 = part({r}),
                               .v1 = part({r}),
                               .v2 = part({n})});
    }
  };
  set_views();
  if (own) {
    for (size_t p = 0; p < factors.paths.size(); ++p) {
      const FactorPath &to = factors.paths[p], &from = own->paths[p];
      for (const auto& [target, source] :
           {std::pair{to.U, from.U}, std::pair{to.V, from.V}, std::pair{to.u1, from.u1},
            std::pair{to.u2, from.u2}, std::pair{to.v1, from.v1}, std::pair{to.v2, from.v2}}) {
        target.copy_(source);
      }
    }
    numbers[0] = own->relative_error;
    numbers[1] = own->seconds;
  }
  // Two messages for a layer, whatever the number of its tensors.
  const at::Tensor there = flat.to(device), numbers_there = numbers.to(device);
  processes.broadcast(there, owner);
  processes.broadcast(numbers_there, owner);
  flat = there.to(at::kCPU);
  numbers = numbers_there.to(at::kCPU);
  set_views();
  factors.relative_error = numbers[0].item<double>();
  factors.seconds = numbers[1].item<double>();
  return factors;
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
                                         const LayerKeeper& keeper, Communicator& processes) {
  const std::vector<LayerPlace> layers = places(sink.student().decoder());
  LB_ASSERT(layers.size() == plans.size(), "a plan for every layer");
  const at::Device device = sink.student().decoder().device();
  const std::vector<size_t> order = costliest_first(plans);
  std::vector<LayerReport> reports(layers.size());
  const OneThreadEach guard;
  const int64_t world = processes.world(), rank = processes.rank();
  const std::vector<int64_t> have = numbers_of(processes, guard.threads());
  // As many layers per process in a round as the process with the fewest threads makes at once.
  const int64_t threads = *std::min_element(have.begin(), have.end());
  const auto total = static_cast<int64_t>(order.size());
  // By falling cost, neighbours in the order cost about the same: a round's layers are ready at
  // about the same time.
  const int64_t round = world == 1 ? total : world * threads;

  std::mutex mutex;
  int64_t ready = 0;  // of all processes before the round, and of this one in it
  const auto put = [&](size_t i, const LayerFactors& factors) {
    const LayerPlace& place = layers[i];
    const at::Tensor bias = load_slot_bias(teacher_folder, *place.slot, at::kFloat, at::kCPU);
    sink.put(place.group, place.layer, factors, bias);
    reports[i] = {plans[i], factors.relative_error, factors.seconds};
    const std::lock_guard lock(mutex);
    ++ready;
    if (done) done(reports[i]);
  };
  const auto make = [&](size_t i) {
    std::optional<LayerFactors> kept;
    if (keeper.find) kept = keeper.find(plans[i]);
    if (kept) return std::move(*kept);
    LayerFactors factors = factorize_layer(
        {.weight = load_slot_weight(teacher_folder, *layers[i].slot, at::kFloat, at::kCPU),
         .plan = plans[i],
         .seed = seed},
        options);
    if (keeper.keep) keeper.keep(plans[i], factors);
    return factors;
  };
  for (int64_t first = 0; first < total; first += round) {
    const int64_t last = std::min(first + round, total);
    const int64_t mine = (last - first - rank + world - 1) / world;
    const int64_t before = ready;
    std::vector<std::optional<LayerFactors>> made(static_cast<size_t>(std::max<int64_t>(mine, 0)));
    in_all(processes, [&] {
      // Threads of our own, each with one of ATen's: MKL's LAPACK must not be entered from an
      // OpenMP region (it waits there for threads that it does not get).
      parallel_for(mine, static_cast<int>(threads), [&](int64_t k) {
        if (stop_requested()) return;
        at::set_num_threads(1);
        c10::NoGradGuard no_grad;
        // Layers of a round are dealt out like cards.
        const size_t i = order[static_cast<size_t>(first + rank + k * world)];
        LayerFactors factors = make(i);
        put(i, factors);
        if (world > 1) made[static_cast<size_t>(k)] = std::move(factors);
      });
    });
    // A stop request was seen by some process, which left layers out: all end here together.
    if (processes.any(ready - before < mine)) {
      const std::vector<int64_t> now = numbers_of(processes, ready - before);
      const int64_t all = std::accumulate(now.begin(), now.end(), before);
      throw Error(ExitCode::kStopped, "stopped while factorising: " + std::to_string(all) + " of " +
                                          std::to_string(total) + " layers are done");
    }
    if (world == 1) continue;
    c10::NoGradGuard no_grad;
    for (int64_t at = first; at < last; ++at) {
      const size_t i = order[static_cast<size_t>(at)];
      std::optional<LayerFactors> own;
      if (at % world == rank) own = std::move(made[static_cast<size_t>((at - first) / world)]);
      const LayerFactors factors = broadcast(processes, at % world, plans[i], own, device);
      if (!own) put(i, factors);
    }
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
        throw InputError("no tensor " + place.slot->name + ".bias next to the layer's factors");
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
