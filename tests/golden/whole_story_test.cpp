// What correct means here, told once from top to bottom: a Llama of 48 words becomes a LittleBit
// model, is trained for a step and written down, and every part of the program stands beside the
// formula that it is to obey, written out in plain ATen. Other tests hold each part to more cases;
// this one is to be read.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>

#include "littlebit/distill/step.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/export/packed.h"
#include "littlebit/models/forward.h"
#include "littlebit/quant/starts.h"
#include "support/tiny_model.h"
#include "support/tiny_training.h"

namespace littlebit {
namespace {

constexpr double kBits = 3;  // per weight; matrices this small have room for no fewer
constexpr int64_t kSequences = 3, kLength = 10;

QuantOptions two_paths() {
  QuantOptions options;
  options.bits_per_weight = kBits;
  return options;
}

double size_of(const at::Tensor& t) { return t.to(at::kDouble).norm().item<double>(); }

at::Tensor signs_of(const at::Tensor& t) { return at::ones_like(t).masked_fill_(t.lt(0), -1); }

// The weight of a path: diag(h) signs_of(U) diag(l) signs_of(V) diag(g), h = u1, l = u2 v1, g = v2.
at::Tensor weight_of(const at::Tensor& u, const at::Tensor& v, const at::Tensor& u1,
                     const at::Tensor& u2, const at::Tensor& v1, const at::Tensor& v2) {
  return at::matmul(u1.unsqueeze(1) * signs_of(u) * (u2 * v1), signs_of(v) * v2);
}

// Everything that training moves, by name: "<layer>.U", "<layer>.u1_R", "model.norm.weight".
std::map<std::string, at::Tensor> trainables(const Optimizer& optimizer) {
  std::map<std::string, at::Tensor> all;
  for (const GroupState& state : optimizer.states()) {
    state.visit([&](const StatePart& part) {
      if (part.kind != StateKind::kMoments) all[part.name] = part.values.view(part.shape);
    });
  }
  return all;
}

at::Tensor weight_of(const std::map<std::string, at::Tensor>& all, const std::string& layer) {
  const auto path = [&](const std::string& r) {
    const auto of = [&](const char* name) { return all.at(layer + "." + name + r); };
    return weight_of(of("U"), of("V"), of("u1"), of("u2"), of("v1"), of("v2"));
  };
  return path("") + path("_R");
}

// Loss by the book: KL(teacher || student) summed over positions and divided by the sequences, and
// ten times the mean squared error of every block's output, the last one's behind the final norm.
double loss_by_the_book(const Decoder& teacher, const Decoder& student, const at::Tensor& ids) {
  const c10::NoGradGuard no_grad;
  const auto states = [&](const Decoder& model) {
    std::vector<at::Tensor> all;
    at::Tensor h = model.embedding_forward(ids);
    const SequenceContext context = model.context(ids.size(1));
    for (int64_t layer = 0; layer < model.spec().num_layers; ++layer) {
      h = model.block_forward(layer, h, context);
      all.push_back(h.to(at::kDouble));
    }
    all.back() = model.tail_forward(h).to(at::kDouble);
    return all;
  };
  const auto of_teacher = states(teacher), of_student = states(student);
  const auto log_p = [&](const Decoder& model, const at::Tensor& z) {
    return at::log_softmax(model.head_forward(z.to(at::kFloat)).to(at::kDouble), -1);
  };
  const at::Tensor p = log_p(teacher, of_teacher.back()), q = log_p(student, of_student.back());
  at::Tensor loss = at::sum(p.exp() * (p - q)) / ids.size(0);
  for (size_t i = 0; i < of_teacher.size(); ++i) {
    loss = loss + 10 * at::mse_loss(of_student[i], of_teacher[i]);
  }
  return loss.item<double>();
}

TEST_CASE("the whole story: from a teacher's folder to a trained, packed model") {
  const TempFolder temp;
  test::write_tiny_llama(temp / "teacher");

  // 1. The bits that were asked for decide the ranks: the largest multiple of 8 that fits.
  test::TinyTraining training(temp / "teacher", two_paths());
  Student& student = *training.student;
  const Decoder& teacher = training.teacher.decoder;
  for (const LayerPlan& plan : training.plans) {
    INFO(plan.name);
    const auto a = static_cast<double>(plan.d_in), b = static_cast<double>(plan.d_out);
    const auto bits_at = [&](int64_t rank) {
      return (2 * static_cast<double>(rank) * (a + b + 16) + 32 * (a + b)) / (a * b);
    };
    CHECK(plan.effective_bits() == Approx(bits_at(plan.rank)));
    if (!plan.at_floor) CHECK(bits_at(plan.rank) <= kBits);
    if (!plan.at_cap) CHECK(bits_at(plan.rank + 8) > kBits);
  }

  // 2. The start stands for the teacher's weight, as well as it says. Each layer computes with the
  // weight that its signs and scales stand for, and nothing else.
  std::map<std::string, at::Tensor> all = trainables(*training.optimizer);
  std::map<std::string, at::Tensor> weights;
  training.teacher.decoder.visit_linears(
      [&](LinearSlot& slot) { weights[slot.name] = dense_weight(slot); });
  for (const StudentGroup& group : student.groups()) {
    for (const LittleBitLinear* layer : group.layers()) {
      INFO(layer->name());
      const at::Tensor w = weights.at(layer->name()), factored = weight_of(all, layer->name());
      const auto plan = std::find_if(training.plans.begin(), training.plans.end(),
                                     [&](const LayerPlan& p) { return p.name == layer->name(); });
      const double error = size_of(w - factored) / size_of(w);
      const LayerInput input = {.weight = w, .plan = *plan, .seed = 1};
      CHECK(error == Approx(factorize_layer(input, training.quant).relative_error).epsilon(1e-4));
      CHECK(error < 0.9);
      const at::Tensor x = at::randn({5, layer->in_features()});
      const at::Tensor y = at::matmul(x, factored.t());
      CHECK(size_of(layer->forward(x) - y) < 1e-5 * size_of(y));
    }
  }

  // 3. The loss of a step is the loss of the book, and splitting the batch does not change it.
  const at::Tensor ids = at::randint(48, {kSequences, kLength}, at::kLong);
  DistillationStep step(teacher, student, {}, Recompute::kFull);
  const auto gradients_at = [&](std::vector<GroupGradients>& gradients) {
    DistillationLoss loss = step.accumulate(ids.narrow(0, 0, 1), kSequences, gradients);
    loss += step.accumulate(ids.narrow(0, 1, kSequences - 1), kSequences, gradients);
    return loss.total().item<double>();
  };
  const double loss = gradients_at(training.gradients);
  CHECK(loss == Approx(loss_by_the_book(teacher, student.decoder(), ids)).epsilon(1e-5));

  // 4. The gradient of scales and norms is the slope of that loss: along itself it rises by the
  // square of its length. (Signs have no slope; their gradient is defined below.)
  constexpr size_t kGroup = 1;  // the first block
  StudentGroup& group = student.groups()[kGroup];
  for (size_t g = 0; g < training.gradients.size(); ++g) {
    if (!training.gradients[g].is_empty()) training.gradients[g].finish();
  }
  const at::Tensor slope = training.gradients[kGroup].vectors().clone();
  const at::Tensor at_start = group.vectors().clone();
  const auto loss_along = [&](double way) {
    group.vectors().copy_(at_start + slope * (way / size_of(slope)));
    const double moved = loss_by_the_book(teacher, student.decoder(), ids);
    group.vectors().copy_(at_start);
    return moved;
  };
  constexpr double kWay = 1e-3;
  CHECK((loss_along(kWay) - loss_along(-kWay)) / (2 * kWay) ==
        Approx(size_of(slope)).epsilon(1e-2));

  // 5. A latent's gradient is that of its sign times the surrogate's derivative, that of
  // tanh(100 u): 100 (1 - tanh(100 u)^2). For the straight-through estimator it is 1 within [-1,
  // 1].
  const auto latent_gradients = [&](Surrogate surrogate) {
    Optimizer optimizer(student, OptimOptions{}, surrogate);
    std::vector<at::Tensor> of_groups;
    std::vector<GroupGradients> gradients = gradients_of(student);
    gradients_at(gradients);
    for (size_t g = 0; g < gradients.size(); ++g) {
      optimizer.states()[g].latents().copy_(training.optimizer->states()[g].latents());
      if (gradients[g].is_empty()) continue;
      optimizer.reduce(g, gradients[g]);
      of_groups.push_back(gradients[g].latents().clone());
    }
    return of_groups;
  };
  const auto smooth = latent_gradients(Surrogate::kSmoothSign),
             straight = latent_gradients(Surrogate::kSte);
  const at::Tensor u = training.optimizer->states()[kGroup].latents();
  const at::Tensor derivative = 100 * (1 - at::tanh(100 * u).square());
  const at::Tensor want_smooth = straight[0] * derivative;  // beyond 1 both are zero
  CHECK(size_of(smooth[0] - want_smooth) < 1e-5 * size_of(want_smooth));

  // 6. The update is AdamW's first step on gradients clipped by one norm over everything. Then the
  // signs are those of the latents.
  for (GroupGradients& each : training.gradients) each.clear();
  gradients_at(training.gradients);
  double squares = 0;
  for (size_t g = 0; g < training.gradients.size(); ++g) {
    if (training.gradients[g].is_empty()) continue;
    training.optimizer->reduce(g, training.gradients[g]);
    squares += std::pow(size_of(training.gradients[g].latents()), 2) +
               std::pow(size_of(training.gradients[g].vectors()), 2);
  }
  const at::Tensor g = training.gradients[kGroup].latents().to(at::kDouble) *
                       std::min(1.0, 1 / (std::sqrt(squares) + 1e-6));
  const at::Tensor before = u.clone();
  constexpr double kRate = 1e-3;
  const StepStatistics statistics = training.optimizer->step(1, {kRate, kRate, kRate});
  CHECK(statistics.read_gradient_norm() == Approx(std::sqrt(squares)).epsilon(1e-5));
  const at::Tensor want = before - kRate * g / (g.abs() + 1e-8);  // m / (sqrt(v) + eps), corrected
  CHECK((u - want).abs().max().item<double>() < 1e-3 * kRate);
  const at::Tensor bits = group.bits();
  for (int64_t i = 0; i < u.numel(); ++i) {
    const auto word = static_cast<uint32_t>(bits[i / 32].item<int32_t>());
    REQUIRE(((word >> (i % 32) & 1) == 1) == (u[i].item<float>() < 0));
  }

  // 7. What is written is the student, its scales rounded to bf16; whoever reads it computes the
  // same, from the sign bits.
  export_packed(temp / "packed", student, training.plans, training.quant, training.teacher.folder);
  CHECK(verify_packed(temp / "packed", student, training.plans) > 0);
  const HfFolder folder = test::open_folder(temp / "packed");
  const Decoder packed = load_packed(folder, at::kFloat, at::kCPU);
  const at::Tensor logits = forward_full(student.decoder(), ids, false).logits;
  CHECK(size_of(forward_full(packed, ids, false).logits - logits) < 2e-2 * size_of(logits));
}

}  // namespace
}  // namespace littlebit
