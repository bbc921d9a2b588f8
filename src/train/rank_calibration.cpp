// A layer's harm is the KL divergence per token between the teacher and the teacher with that one
// layer compressed. Its slot holds the compressed matrix for one forward pass of the blocks from
// its own on; the hidden states in front of them are kept from the pass without any.
#include "rank_calibration.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "littlebit/core/error.h"
#include "littlebit/core/signals.h"
#include "littlebit/core/strings.h"
#include "littlebit/data/sampler.h"
#include "littlebit/distill/kl_divergence.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/progress.h"
#include "littlebit/models/load.h"
#include "littlebit/quant/rank_allocation.h"
#include "littlebit/quant/starts.h"

namespace littlebit {
namespace {

constexpr int64_t kTokens = 64;
// What layers are compressed by: what counts is how they compare.
constexpr const char* kStart = "joint_itq";
// Digits of the harm that count: the same ranks on machines that round sums differently.
constexpr int kDigits = 3;

// The first sequences of the training text, as training will have them: [B, T]. Few tokens do,
// since only the order and the rough size of the layers' harms decide.
at::Tensor first_tokens(const Session& session, const Corpus& corpus) {
  const int64_t whole = corpus.sequence_length(), length = std::min(whole, kTokens);
  const int64_t count = std::clamp<int64_t>(kTokens / length, 1, corpus.num_blocks());
  const Sampler order(corpus.num_blocks(), static_cast<uint64_t>(session.options.train.seed),
                      session.options.data.shuffle);
  at::Tensor ids = at::empty({count, whole}, at::kInt);
  for (int64_t i = 0; i < count; ++i) {
    corpus.copy_block(order.block_at(i),
                      {ids.data_ptr<int32_t>() + i * whole, static_cast<size_t>(whole)});
  }
  return ids.narrow(1, 0, length).to(session.device, at::kLong);
}

bool is_dense(const LinearSlot& slot) {
  return dynamic_cast<const DenseLinear*>(slot.linear.get()) != nullptr;
}

class Measurement {
 public:
  Measurement(const Session& session, Decoder& teacher, const Corpus& corpus)
      : session_(session),
        teacher_(teacher),
        ids_(first_tokens(session, corpus)),
        context_(teacher.context(ids_.size(1))) {
    for (int64_t group = 0; group < teacher.num_groups(); ++group) {
      teacher.visit_linears(group, [&](LinearSlot& slot) { slots_.push_back({&slot, group}); });
    }
    states_.push_back(teacher.embedding_forward(ids_));
    // States in front of every block, once: a layer in block b then costs only the blocks from b
    // on.
    for (int64_t layer = 0; layer < teacher.spec().num_layers; ++layer) {
      states_.push_back(teacher.block_forward(layer, states_.back(), context_));
    }
    last_ = tail(states_.back());
  }

  // Whether every layer's matrix is in its slot all the time.
  static bool can_measure(Decoder& teacher) {
    bool all = !teacher.is_collective();
    teacher.visit_linears([&](LinearSlot& slot) { all = all && is_dense(slot); });
    return all;
  }

  // KL divergence per token with layer `i` alone compressed by `plan`.
  double harm(size_t i, const LayerPlan& plan) const {
    const auto [slot, group] = slots_[i];
    const auto& dense = dynamic_cast<const DenseLinear&>(*slot->linear);
    // The teacher is whole again afterwards, whatever is thrown.
    const Restore restore{*slot, slot->linear};
    slot->linear = std::make_shared<DenseLinear>(compressed(*slot, plan), dense.bias());
    at::Tensor x = group == 0 ? teacher_.embedding_forward(ids_) : at::Tensor();
    const int64_t num_layers = teacher_.spec().num_layers;
    for (int64_t layer = std::max<int64_t>(group - 1, 0); layer < num_layers; ++layer) {
      x = teacher_.block_forward(layer, x.defined() ? x : states_[static_cast<size_t>(layer)],
                                 context_);
    }
    const at::Tensor z = tail(x.defined() ? x : states_.back());
    const at::Tensor sum = kl_divergence(teacher_, teacher_, last_, z, 0, {});
    // A divergence is not negative; of a layer that hardly matters, rounding may make it so.
    return std::max(0.0, sum.item<double>() / static_cast<double>(ids_.numel()));
  }

 private:
  struct Place {
    LinearSlot* slot;
    int64_t group;
  };
  struct Restore {
    LinearSlot& slot;
    std::shared_ptr<Linear> linear;
    ~Restore() { slot.linear = linear; }
  };

  at::Tensor tail(const at::Tensor& x) const {
    const at::Tensor z = teacher_.tail_forward(x);
    return z.reshape({-1, z.size(-1)});
  }

  at::Tensor compressed(const LinearSlot& slot, const LayerPlan& plan) const {
    QuantOptions by = session_.options.quant;
    by.init = kStart;
    const HfFolder& folder = *session_.teacher_folder;
    const LayerFactors factors =
        factorize_layer({.weight = load_slot_weight(folder, slot, at::kFloat, at::kCPU),
                         .plan = plan,
                         .seed = static_cast<uint64_t>(session_.options.train.seed)},
                        by);
    at::Tensor sum;
    for (const FactorPath& path : factors.paths) {
      const at::Tensor weight = effective_weight(path);
      sum = sum.defined() ? sum + weight : weight;
    }
    return sum.to(teacher_.device(), teacher_.compute_dtype());
  }

  const Session& session_;
  Decoder& teacher_;
  at::Tensor ids_;
  SequenceContext context_;
  std::vector<Place> slots_;
  std::vector<at::Tensor> states_;  // in front of each block, and behind the last
  at::Tensor last_;                 // what the head reads
};

double rounded(double value) {
  if (value <= 0) return 0;
  const double unit = std::pow(10, std::floor(std::log10(value)) + 1 - kDigits);
  return std::round(value / unit) * unit;
}

}  // namespace

bool measures_ranks(const Session& session) {
  const QuantOptions& quant = session.options.quant;
  return quant.ranks == Ranks::kByLoss && !quant.starts_from_file();
}

std::vector<LayerPlan> plans_by_loss(const Session& session, Decoder& teacher,
                                     const Corpus& corpus) {
  Communicator& processes = *session.processes;
  processes.enter("the ranks of layers", kLongSeconds);
  if (processes.any(!Measurement::can_measure(teacher))) {
    log_warning(
        "quant.ranks: every layer gets the rank of its own bits: how the loss depends on a layer "
        "cannot be measured with a teacher that does not stay in memory whole (train.teacher)");
    return session.plans;
  }
  // Layers go to processes in turn; each process adds its harms to zeros, so that a sum completes
  // the list.
  const c10::NoGradGuard no_grad;
  const auto layers = static_cast<int64_t>(session.plans.size());
  at::Tensor harm = at::zeros({layers}, at::kDouble);
  std::optional<Measurement> measurement;
  in_all(processes, [&] { measurement.emplace(session, teacher, corpus); });
  Progress progress("measuring", layers, "layers");
  for (int64_t first = 0; first < layers; first += processes.world()) {
    const int64_t i = first + processes.rank();
    in_all(processes, [&] {
      if (i >= layers) return;
      const LayerPlan& plan = session.plans[static_cast<size_t>(i)];
      const double value = measurement->harm(static_cast<size_t>(i), plan);
      if (!std::isfinite(value)) {
        throw NumericsError(
            "the teacher's KL divergence with layer " + plan.name + " compressed is not finite",
            "quant.ranks=uniform needs no such measurement");
      }
      harm[i] = rounded(value);
    });
    progress.update(std::min(first + processes.world(), layers));
    if (processes.any(stop_requested())) {
      const Error stopped(ExitCode::kStopped, "stopped while measuring the layers");
      in_all(processes, [&] { throw stopped; });
      throw stopped;  // not reached
    }
  }
  progress.finish();
  const at::Tensor all = harm.to(session.device);
  processes.all_reduce_sum(all);
  const at::Tensor here = all.to(at::kCPU);
  const std::span<const double> harms(here.const_data_ptr<double>(), session.plans.size());
  return allocate_ranks(session.plans, harms, session.options.quant);
}

}  // namespace littlebit
