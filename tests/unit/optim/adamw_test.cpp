// The optimizer over several steps against AdamW as the textbook has it, one number at a time in
// fp64: clipping by the global norm, bias correction, decay of latents and scales only.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <string>

#include "littlebit/core/error.h"
#include "littlebit/ops/update_signs.h"
#include "littlebit/optim/optimizer.h"
#include "support/loaded_model.h"
#include "support/tiny_model.h"

using namespace littlebit;

namespace {

struct Moments {
  double average = 0, square = 0;
};

// One number's step k (from 1) of Loshchilov and Hutter's algorithm 2, `g` clipped already.
double adamw(double value, double g, Moments& m, int64_t k, const OptimOptions& o, double rate,
             bool decays) {
  m.average = o.beta1 * m.average + (1 - o.beta1) * g;
  m.square = o.beta2 * m.square + (1 - o.beta2) * g * g;
  const double average = m.average / (1 - std::pow(o.beta1, static_cast<double>(k)));
  const double square = m.square / (1 - std::pow(o.beta2, static_cast<double>(k)));
  const double decayed = value - (decays ? rate * o.weight_decay * value : 0);
  return decayed - rate * average / (std::sqrt(square) + o.epsilon);
}

// The surrogate's derivative by its formula (specs section 2).
double slope(double latent, Surrogate surrogate) {
  if (surrogate == Surrogate::kSte) return std::abs(latent) < 1 ? 1 : 0;
  const double t = std::tanh(100 * latent);
  return 100 * (1 - t * t);
}

// A student of random factors in fp64, without a teacher.
struct Bench {
  TempFolder folder;
  std::unique_ptr<test::LoadedModel> model;
  std::unique_ptr<Student> student;
  std::unique_ptr<Optimizer> optimizer;

  Bench(const OptimOptions& options, Surrogate surrogate) {
    test::write_tiny_llama(folder.path(), {.biases = true, .layers = 1});
    model = std::make_unique<test::LoadedModel>(folder.path(), at::kDouble);
    Decoder open = open_decoder(model->decoder);
    std::vector<LayerPlan> plans;
    open.visit_linears([&](LinearSlot& slot) {
      plans.push_back(
          {.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out, .rank = 8, .paths = 2});
    });
    student = std::make_unique<Student>(std::move(open), plans);
    optimizer = std::make_unique<Optimizer>(*student, options, surrogate);
    const double size = surrogate == Surrogate::kSmoothSign ? 0.01 : 0.9;
    for (size_t g = 0; g < student->groups().size(); ++g) {
      StudentGroup& group = student->groups()[g];
      at::Tensor vectors = group.vectors(), latents = optimizer->states()[g].latents();
      vectors.copy_(at::randn_like(vectors) + 1);
      for (const Segment& segment : group.layout().latents) {
        segment.view(latents).copy_(
            at::randn(segment.shape, at::TensorOptions().dtype(at::kDouble)) * size);
      }
      update_signs(latents, group.bits());
    }
  }
};

// All numbers of one flat buffer as the textbook moves them.
struct Twin {
  std::vector<double> values;
  std::vector<Moments> moments;
};

std::vector<double> numbers(const at::Tensor& flat) {
  const at::Tensor t = flat.contiguous();
  return {t.const_data_ptr<double>(), t.const_data_ptr<double>() + t.numel()};
}

// How many signs flipped.
int64_t check_against_textbook(const OptimOptions& options, Surrogate surrogate, double gradients) {
  at::manual_seed(5);
  Bench bench(options, surrogate);
  std::vector<Twin> latents, vectors;
  for (size_t g = 0; g < bench.student->groups().size(); ++g) {
    for (auto* twins : {&latents, &vectors}) {
      const at::Tensor& flat = twins == &latents ? bench.optimizer->states()[g].latents()
                                                 : bench.student->groups()[g].vectors();
      twins->push_back({numbers(flat), std::vector<Moments>(flat.numel())});
    }
  }
  std::vector<GroupGradients> gradients_of_step = gradients_of(*bench.student),
                              by_hand = gradients_of(*bench.student);
  int64_t flipped = 0;
  for (int64_t k = 1; k <= 4; ++k) {
    const double rate = 1e-2 / static_cast<double>(k);
    // Gradients of another size and direction in each step, as autograd would hand them over.
    for (size_t g = 0; g < gradients_of_step.size(); ++g) {
      StudentGroup& group = bench.student->groups()[g];
      if (group.layout().is_empty()) continue;
      group.materialize(true);
      std::vector<at::Tensor> given;
      for (const at::Tensor& leaf : group.leaves()) {
        given.push_back(at::randn_like(leaf.detach()) * (gradients * static_cast<double>(k * k)));
      }
      group.release();
      gradients_of_step[g].add(given);
      by_hand[g].clear();
      by_hand[g].add(given);
    }
    // What the update starts from: finished by hand, with the surrogate, summed in one norm.
    double squares = 0;
    std::vector<std::vector<double>> latent_gradients, vector_gradients;
    for (size_t g = 0; g < bench.student->groups().size(); ++g) {
      latent_gradients.emplace_back();
      vector_gradients.emplace_back();
      if (by_hand[g].is_empty()) continue;
      by_hand[g].finish();
      latent_gradients[g] = numbers(by_hand[g].latents());
      vector_gradients[g] = numbers(by_hand[g].vectors());
      for (size_t i = 0; i < latent_gradients[g].size(); ++i) {
        latent_gradients[g][i] *= slope(latents[g].values[i], surrogate);
        squares += latent_gradients[g][i] * latent_gradients[g][i];
      }
      for (const double x : vector_gradients[g]) squares += x * x;
    }
    const double norm = std::sqrt(squares);
    const double factor =
        options.max_grad_norm > 0 ? std::min(1.0, options.max_grad_norm / (norm + 1e-6)) : 1;
    int64_t flips = 0, all = 0;
    const StepStatistics statistics = bench.optimizer->step(gradients_of_step, k, rate);
    CHECK(statistics.read_gradient_norm() == Approx(norm).epsilon(1e-12));
    for (size_t g = 0; g < bench.student->groups().size(); ++g) {
      StudentGroup& group = bench.student->groups()[g];
      if (by_hand[g].is_empty()) continue;
      const auto compare = [&](Twin& twin, const std::vector<double>& gradient,
                               const at::Tensor& flat, int64_t decaying) {
        double worst = 0;
        const std::vector<double> got = numbers(flat);
        for (size_t i = 0; i < got.size(); ++i) {
          twin.values[i] = adamw(twin.values[i], gradient[i] * factor, twin.moments[i], k, options,
                                 rate, static_cast<int64_t>(i) < decaying);
          worst = std::max(worst, std::abs(got[i] - twin.values[i]));
        }
        return worst;
      };
      const std::vector<double> before = latents[g].values;
      INFO("step " << k << ", group " << g);
      // fp64 throughout, but for the step's number, which the fused kernel takes in fp32.
      CHECK(compare(latents[g], latent_gradients[g], bench.optimizer->states()[g].latents(),
                    group.layout().num_latents) < 1e-9);
      CHECK(compare(vectors[g], vector_gradients[g], group.vectors(), group.layout().num_scales) <
            1e-9);
      for (const Segment& segment : group.layout().latents) {
        all += segment.numel;
        for (int64_t i = segment.offset; i < segment.offset + segment.numel; ++i) {
          flips += (before[i] < 0) != (latents[g].values[i] < 0);
          const auto word = static_cast<uint32_t>(group.bits()[i / 32].item<int32_t>());
          REQUIRE(((word >> (i % 32)) & 1) == (latents[g].values[i] < 0 ? 1 : 0));
        }
      }
      // The gradients are consumed.
      CHECK(gradients_of_step[g].is_empty());
    }
    flipped += flips;
    CHECK(statistics.read_sign_flip_fraction() ==
          Approx(static_cast<double>(flips) / static_cast<double>(all)).epsilon(1e-12));
  }
  return flipped;
}

}  // namespace

TEST_CASE("four steps are the textbook's AdamW: clipped, with decay, with other betas") {
  CHECK(check_against_textbook({.weight_decay = 0.1, .max_grad_norm = 1}, Surrogate::kSmoothSign,
                               1) > 0);
  check_against_textbook({.beta1 = 0.7, .beta2 = 0.9, .epsilon = 1e-3, .weight_decay = 0.5},
                         Surrogate::kSte, 1);
}

TEST_CASE("small gradients are not scaled up, and without a maximum none are scaled") {
  // Below the norm of 1, where an epsilon of this size makes the size of a gradient visible.
  check_against_textbook({.epsilon = 1e-3, .max_grad_norm = 1}, Surrogate::kSte, 1e-5);
  check_against_textbook({.epsilon = 1, .max_grad_norm = 0}, Surrogate::kSte, 1);
  // A maximum as small as the 1e-6 that is added to the norm.
  check_against_textbook({.epsilon = 1e-6, .max_grad_norm = 1e-6}, Surrogate::kSte, 1e-8);
}

TEST_CASE("a group without gradients stays as it is, and each kind moves at its own rate") {
  at::manual_seed(7);
  Bench bench({.weight_decay = 0.1}, Surrogate::kSte);
  std::vector<GroupGradients> gradients = gradients_of(*bench.student);
  const auto copies = [&](size_t g) {
    std::map<std::string, at::Tensor> all;
    bench.optimizer->states()[g].visit(
        [&](const StatePart& part) { all[part.name] = part.values.clone(); });
    return all;
  };
  const auto give = [&](size_t g) {
    StudentGroup& group = bench.student->groups()[g];
    group.materialize(true);
    std::vector<at::Tensor> given;
    for (const at::Tensor& leaf : group.leaves()) given.push_back(at::ones_like(leaf.detach()));
    group.release();
    gradients[g].add(given);
  };
  give(1);
  give(2);
  bench.optimizer->step(gradients, 1, 1e-3);  // every group has moments now
  const auto tail = copies(2);
  const auto block = copies(1);
  give(1);
  for (size_t g = 0; g < gradients.size(); ++g) bench.optimizer->reduce(g, gradients[g]);
  bench.optimizer->step(2, {.latents = 1e-3, .scales = 0, .norms = 1e-2});
  for (const auto& [name, now] : copies(2)) {
    INFO(name);
    CHECK(at::equal(now, tail.at(name)));
  }
  bench.optimizer->states()[1].visit([&](const StatePart& part) {
    INFO(part.name);
    const double moved = (part.values - block.at(part.name)).abs().max().item<double>();
    if (part.kind == StateKind::kScales) CHECK(moved == 0);
    if (part.kind == StateKind::kLatents) CHECK((moved > 0 && moved < 2e-3));
    if (part.kind == StateKind::kBiasesAndNorms) CHECK((moved > 5e-3 && moved < 2e-2));
  });
}

TEST_CASE("gradients are finished once, after something was added, and read when finished") {
  Bench bench({}, Surrogate::kSte);
  std::vector<GroupGradients> gradients = gradients_of(*bench.student);
  GroupGradients& group = gradients[1];
  CHECK_THROWS_AS(group.finish(), std::logic_error);
  CHECK_THROWS_AS(group.latents(), std::logic_error);
  std::vector<at::Tensor> given;
  bench.student->groups()[1].materialize(true);
  for (const at::Tensor& leaf : bench.student->groups()[1].leaves()) {
    given.push_back(at::ones_like(leaf.detach()));
  }
  bench.student->groups()[1].release();
  group.add(given);
  CHECK_THROWS_AS(group.vectors(), std::logic_error);
  group.finish();
  CHECK_THROWS_AS(group.finish(), std::logic_error);
  CHECK_THROWS_AS(group.add(given), std::logic_error);
  const at::Tensor once = group.latents().clone();
  group.clear();
  CHECK(group.is_empty());
  group.add(given);
  group.finish();
  CHECK(at::equal(group.latents(), once));
}
