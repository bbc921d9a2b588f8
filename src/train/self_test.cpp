// The self-test: one small model of made numbers, twice, and what must agree between the two.
#include "littlebit/train/self_test.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/rng.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/cuda.h"
#include "littlebit/device/device.h"
#include "littlebit/distill/step.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"
#include "littlebit/logging/table.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/forward.h"
#include "littlebit/ops/expand_signs.h"
#include "littlebit/ops/operation_case.h"
#include "littlebit/ops/update_signs.h"
#include "littlebit/optim/optimizer.h"

namespace littlebit {
namespace {

using Rows = std::vector<SelfTestRow>;

constexpr int64_t kBatch = 2, kLength = 96, kVocabulary = 500;

// Normal numbers that every type we compute in holds exactly.
at::Tensor made(uint64_t seed, const std::string& name, std::vector<int64_t> shape, double scale,
                double mean = 0) {
  at::Tensor values = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  RandomStream(seed, "self-test/" + name)
      .fill_normal(0, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
  return values.mul_(scale).add_(mean).to(at::kBFloat16).to(at::kFloat);
}

Decoder make_teacher(uint64_t seed, at::Device device, at::ScalarType dtype) {
  const Json config = {
      {"model_type", "llama"},    {"hidden_act", "silu"},      {"hidden_size", 128},
      {"intermediate_size", 320}, {"num_hidden_layers", 2},    {"num_attention_heads", 4},
      {"num_key_value_heads", 2}, {"vocab_size", kVocabulary}, {"max_position_embeddings", 256},
      {"rms_norm_eps", 1e-5},     {"rope_theta", 10000.0},     {"tie_word_embeddings", false}};
  Decoder decoder = empty_decoder(parse_model_spec(config), dtype, device);
  const auto place = [&](const at::Tensor& values) { return values.to(device, dtype); };
  const ModelSpec& spec = decoder.spec();
  decoder.set_frozen(
      {.embedding = place(made(seed, "embedding", {spec.vocab_size, spec.embedding_size}, 1))});
  decoder.set_head(std::make_shared<DenseLinear>(
      place(made(seed, "head", {spec.vocab_size, spec.embedding_size}, 0.1))));
  decoder.visit_parameters([&](Parameter& parameter) {
    parameter.value =
        made(seed, parameter.name, {parameter.size}, 0.1, 1).to(device, decoder.residual_dtype());
  });
  decoder.visit_linears([&](LinearSlot& slot) {
    slot.linear = std::make_unique<DenseLinear>(
        place(made(seed, slot.name, {slot.d_out, slot.d_in}, 0.1)), at::Tensor());
  });
  return decoder;
}

// Teacher, student and optimizer in one precision on one device.
struct Model {
  Decoder teacher;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;
  std::vector<GroupGradients> gradients;

  Model(uint64_t seed, at::Device device, at::ScalarType dtype)
      : teacher(make_teacher(seed, device, dtype)) {
    QuantOptions quant;
    quant.bits_per_weight = 2;
    Decoder open = open_decoder(teacher);
    const std::vector<LayerPlan> plans = plan_model(open, quant);
    student = std::make_unique<Student>(std::move(open), plans);
    OptimOptions optim;
    optim.weight_decay = 0.1;
    optimizer = std::make_unique<Optimizer>(*student, optim, Surrogate::kSmoothSign);
    // Factors of made numbers; latents so near zero that the surrogate is not flat and signs flip.
    visit([&](const StatePart& part) {
      if (part.kind == StateKind::kMoments) return;
      const bool is_latents = part.kind == StateKind::kLatents;
      part.values.copy_(
          made(seed, part.name, part.shape, is_latents ? 0.005 : 0.02, is_latents ? 0 : 0.3)
              .view({-1}));
    });
    optimizer->refresh_bits();
    gradients = gradients_of(*student);
  }

  void visit(const std::function<void(const StatePart&)>& visit) const {
    for (const GroupState& state : optimizer->states()) state.visit(visit);
  }

  // One flat vector over all groups, double on the CPU.
  at::Tensor all(bool of_latents) const {
    std::vector<at::Tensor> parts;
    visit([&](const StatePart& part) {
      if (part.kind == StateKind::kMoments) return;
      if ((part.kind == StateKind::kLatents) != of_latents) return;
      parts.push_back(part.values.to(at::kCPU, at::kDouble));
    });
    return at::cat(parts);
  }
  at::Tensor latents() const { return all(true); }
  at::Tensor vectors() const { return all(false); }

  // What was added up, finished, by group.
  std::vector<at::Tensor> gradients_by(const at::Tensor& (GroupGradients::*part)() const) const {
    std::vector<at::Tensor> parts;
    for (const GroupGradients& group : gradients) {
      if (!group.is_empty()) parts.push_back((group.*part)());
    }
    return parts;
  }
};

double relative(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor a = got.to(at::kCPU, at::kDouble), b = want.to(at::kCPU, at::kDouble);
  return at::linalg_vector_norm(a - b).item<double>() / at::linalg_vector_norm(b).item<double>();
}

// The worst of the groups: one that is wrong does not hide behind larger ones.
double worst(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  LB_ASSERT(got.size() == want.size() && !got.empty(), "gradients of the same groups");
  double most = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (want[i].numel() > 0) most = std::max(most, relative(got[i], want[i]));
  }
  return most;
}

double relative(double got, double want) { return std::abs(got - want) / std::abs(want); }

double count_different(const at::Tensor& got, const at::Tensor& want) {
  return static_cast<double>(got.cpu().ne(want).sum().item<int64_t>());
}

// Each operation on its cases of this type (fp64 with fp32) against its twin on the CPU: the case
// with the largest share of what is allowed.
void check_operations(Rows& rows, at::Device device, bool narrow) {
  std::map<std::string, SelfTestRow> worst;
  for (const OperationCase& each : operation_cases()) {
    if (each.timed || (each.dtype == at::kBFloat16) != narrow) continue;
    const SelfTestRow row{each.operation,
                          relative_difference(run_operation(each, device), run_twin(each)),
                          each.tolerance};
    const auto [found, is_first] = worst.emplace(each.operation, row);
    const auto share = [](const SelfTestRow& of) {
      return of.tolerance > 0 ? of.difference / of.tolerance : of.difference * 1e30;
    };
    if (!is_first && share(row) > share(found->second)) found->second = row;
  }
  for (auto& [name, row] : worst) rows.push_back(std::move(row));
}

void check_packed_words(Rows& rows, uint64_t seed, at::Device device) {
  const int64_t height = 67, width = 203, first = 96;
  const auto ints = at::TensorOptions().dtype(at::kInt);
  const at::Tensor words = at::zeros({640}, ints);
  update_signs(made(seed, "latents", {640 * 32}, 1), words);
  const at::Tensor padded = SignMatrix(words.to(device), first, height, width).padded_words();
  SignMatrix again(at::zeros({height * 7}, ints.device(device)), 0, height, 7 * 32);
  again.set_from_padded_words(padded);
  const at::Tensor back =
      at::empty({height, 7 * 32}, at::TensorOptions().dtype(at::kFloat).device(device));
  again.expand_into(back, {}, {});
  rows.push_back({"packed words, elements",
                  count_different(back.narrow(1, 0, width),
                                  expand_reference(words, first, height, width, at::kFloat)),
                  0});
}

// Gradients of made numbers, so that the update is compared and not what led to it.
void give_gradients(Model& model, uint64_t seed, int step) {
  for (size_t g = 0; g < model.gradients.size(); ++g) {
    StudentGroup& group = model.student->groups()[g];
    if (group.layout().is_empty()) continue;
    group.materialize(true);
    std::vector<at::Tensor> given;
    for (const at::Tensor& leaf : group.leaves()) {
      const std::string name = "gradient/" + std::to_string(step) + "/" + std::to_string(g) + "/" +
                               std::to_string(given.size());
      given.push_back(
          made(seed, name, leaf.sizes().vec(), 1).to(leaf.device(), leaf.scalar_type()));
    }
    group.release();
    model.gradients[g].clear();
    model.gradients[g].add(given);
  }
}

void check_optimizer(Rows& rows, Model& model, Model& plain, uint64_t seed, double tolerance) {
  const at::Tensor latents = plain.latents(), vectors = plain.vectors();
  StepStatistics got, want;
  for (int step = 1; step <= 2; ++step) {
    give_gradients(model, seed, step);
    give_gradients(plain, seed, step);
    got = model.optimizer->step(model.gradients, step, 1e-3);
    want = plain.optimizer->step(plain.gradients, step, 1e-3);
  }
  const double flips = want.read_sign_flip_fraction();
  LB_ASSERT(flips > 0.01, "the made numbers flip signs");
  rows.push_back(
      {"gradient norm", relative(got.read_gradient_norm(), want.read_gradient_norm()), tolerance});
  rows.push_back({"update of latents",
                  relative(model.latents() - latents, plain.latents() - latents), tolerance});
  rows.push_back({"update of scales and norms",
                  relative(model.vectors() - vectors, plain.vectors() - vectors), tolerance});
  // A latent that ends within rounding of zero may differ: a few in 100,000.
  rows.push_back({"flipped signs, share", std::abs(got.read_sign_flip_fraction() - flips), 1e-4});
}

}  // namespace

std::vector<SelfTestRow> self_test(at::Device device, at::ScalarType compute_dtype, uint64_t seed) {
  c10::NoGradGuard no_grad;
  // fp32 sums of some hundred terms in another order; bf16 holds 8 bits of each factor: 0.9 per
  // cent at the worst here.
  const bool narrow = compute_dtype == at::kBFloat16;
  const double tolerance = narrow ? 2e-2 : 2e-5;
  Rows rows;
  check_operations(rows, device, narrow);
  check_packed_words(rows, seed, device);

  Model model(seed, device, compute_dtype), plain(seed, at::Device(at::kCPU), at::kDouble);
  const at::Tensor ids = made(seed, "ids", {kBatch, kLength}, 100, kVocabulary / 2)
                             .clamp_(0, kVocabulary - 1)
                             .to(at::kLong);
  const auto logits = [&](const Decoder& decoder) {
    return forward_full(decoder, ids, false).logits;
  };
  rows.push_back(
      {"teacher, logits", relative(logits(model.teacher), logits(plain.teacher)), tolerance});
  rows.push_back({"student, logits",
                  relative(logits(model.student->decoder()), logits(plain.student->decoder())),
                  tolerance});

  const auto accumulate = [&](Model& m) {
    const DistillationLoss loss = DistillationStep(m.teacher, *m.student, {}, Recompute::kFull)
                                      .accumulate(ids, kBatch, m.gradients);
    for (GroupGradients& group : m.gradients) {
      if (!group.is_empty()) group.finish();
    }
    return loss;
  };
  const DistillationLoss got = accumulate(model), want = accumulate(plain);
  rows.push_back({"KL loss", relative(got.read_kl(), want.read_kl()), tolerance});
  rows.push_back({"hidden loss", relative(got.read_hidden(), want.read_hidden()), tolerance});
  const auto latent = [](Model& m) { return m.gradients_by(&GroupGradients::latents); };
  const auto vector = [](Model& m) { return m.gradients_by(&GroupGradients::vectors); };
  rows.push_back({"gradients of factors", worst(latent(model), latent(plain)), tolerance});
  rows.push_back({"gradients of scales and norms", worst(vector(model), vector(plain)), tolerance});
  // fp32 whatever the products are in; AdamW makes a small gradient, the rest of a sum that
  // cancels, as large as any.
  check_optimizer(rows, model, plain, seed, 1e-4);
  if (!device_traits(device).is_host && open_cuda().kernels != nullptr) {
    rows.push_back({"collectives of NCCL, one process",
                    open_cuda().kernels->nccl_difference(device.index()), 0});
  }
  return rows;
}

ExitCode run_self_test(const TrainOptions& options) {
  const Stopwatch stopwatch;
  use_threads(options.threads);
  const at::Device device = open_device(options.device, "train.device");
  log_info("self-test on " + describe_device(device) + ", against fp64 on the CPU");
  int failed = 0;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const bool in_use = dtype == device_traits(device).auto_dtype || dtype == at::kFloat;
    if (!in_use && options.dtype != FloatKind::kBf16) continue;
    Table table({name_of(dtype), "difference", "allowed", ""});
    for (const SelfTestRow& row : self_test(device, dtype, static_cast<uint64_t>(options.seed))) {
      table.add({row.check, format_digits(row.difference, 2), format_digits(row.tolerance, 2),
                 row.ok() ? "ok" : "FAILED"});
      failed += row.ok() ? 0 : 1;
    }
    table.print();
  }
  const std::string line = "in " + format_fixed(stopwatch.seconds(), 1) + " s";
  if (failed > 0) {
    log_error("self-test: " + std::to_string(failed) + " check(s) FAILED " + line,
              "do not train on this device; driver, hardware or build are damaged or do not match");
    return ExitCode::kBug;
  }
  log_info("self-test: all ok " + line);
  return ExitCode::kDone;
}

}  // namespace littlebit
