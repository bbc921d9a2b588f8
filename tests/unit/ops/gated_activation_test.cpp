// Gated activations against their formulas, one number at a time in fp64, by every instruction set,
// far out where exponentials end.
#include "littlebit/ops/gated_activation.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

namespace littlebit {
namespace {

constexpr GateKind kKinds[] = {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kRelu};

double activation_by_formula(double x, GateKind kind) {
  switch (kind) {
    case GateKind::kSilu:
      return x / (1 + std::exp(-x));
    case GateKind::kGeluTanh:
      return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case GateKind::kRelu:
      return std::max(x, 0.0);
  }
  return 0;
}

double slope_by_formula(double x, GateKind kind) {
  constexpr double kStep = 1e-5;
  return (activation_by_formula(x + kStep, kind) - activation_by_formula(x - kStep, kind)) /
         (2 * kStep);
}

TEST_CASE("a gated activation and its derivative are their formulas, by every instruction set") {
  constexpr int64_t kCount = 4001;
  const at::Tensor gate = at::linspace(-120, 120, kCount), up = at::full({kCount}, 1.5F);
  const at::Tensor dy = at::full({kCount}, 2.0F);
  for (const Instructions use :
       {Instructions::kPlain, Instructions::kAvx2, Instructions::kAvx512}) {
    if (use > best_instructions()) continue;
    for (const GateKind kind : kKinds) {
      const at::Tensor y = at::empty({kCount}), d_gate = at::empty({kCount}),
                       d_up = at::empty({kCount});
      activate_rows(GatedActivationJob<float>{gate.data_ptr<float>(), up.data_ptr<float>(),
                                              y.data_ptr<float>(), 1, kCount, kCount, kCount, kind},
                    0, 1, use);
      activate_gradient(
          GatedActivationGradientJob<float>{
              dy.data_ptr<float>(), gate.data_ptr<float>(), up.data_ptr<float>(),
              d_gate.data_ptr<float>(), d_up.data_ptr<float>(), 1, kCount, kCount, kCount, kind},
          0, 1, use);
      for (int64_t i = 0; i < kCount; ++i) {
        const double x = gate[i].item<float>();
        const double want = activation_by_formula(x, kind);
        INFO("kind " << static_cast<int>(kind) << " at " << x);
        // Relative where the number is large, absolute where it vanishes.
        const double allowed = 1e-6 * std::abs(want) + 1e-9;
        if (std::abs(y[i].item<double>() - 1.5 * want) > 1.5 * allowed) FAIL("activation");
        if (std::abs(d_up[i].item<double>() - 2 * want) > 2 * allowed) FAIL("gradient by up");
        if (kind == GateKind::kRelu && std::abs(x) < 1e-4) continue;
        if (std::abs(d_gate[i].item<double>() - 3 * slope_by_formula(x, kind)) > 1e-5) {
          FAIL("gradient by gate");
        }
      }
    }
  }
}

TEST_CASE("a gate that is no number shows, and a ReLU's edge is that of ATen") {
  const at::Tensor gate = at::tensor({std::numeric_limits<float>::quiet_NaN(), 0.0F, -0.0F});
  const at::Tensor up = at::ones({3});
  for (const GateKind kind : kKinds) {
    const at::Tensor y = gated_activation(gate, up, kind);
    CHECK(std::isnan(y[0].item<float>()));
    CHECK(y[1].item<float>() == 0);
    CHECK(y[2].item<float>() == 0);
  }
}

TEST_CASE("gate and up that lie side by side are read where they are") {
  at::manual_seed(3);
  const at::Tensor both = at::randn({2, 5, 48});
  const std::vector<at::Tensor> parts = both.chunk(2, -1);
  const at::Tensor y = gated_activation(parts[0], parts[1], GateKind::kSilu);
  CHECK(y.sizes() == parts[0].sizes());
  CHECK(at::allclose(y, at::silu(parts[0]) * parts[1], 1e-5, 1e-6));
  // Other shapes than one another are left to ATen.
  const at::Tensor one = at::randn({24});
  CHECK(at::allclose(gated_activation(parts[0], one, GateKind::kRelu), at::relu(parts[0]) * one));
}

}  // namespace
}  // namespace littlebit
