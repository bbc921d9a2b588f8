// activation(gate) * up in one pass: as two ATen operations, the activation would be written to
// memory and read again, and autograd would keep it for the backward pass. Here only gate and up,
// which the products behind them have made anyway, are kept, and the gradient computes the
// activation a second time.
#include "littlebit/ops/gated_activation.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor plain_activation(const at::Tensor& gate, int64_t kind) {
  switch (static_cast<GateKind>(kind)) {
    case GateKind::kSilu:
      return at::silu(gate);
    case GateKind::kGeluTanh:
      return at::gelu(gate, "tanh");
    case GateKind::kRelu:
      return at::relu(gate);
  }
  LB_ASSERT(false, "kind of a gate");
}

// d_activation times the activation's derivative. ATen's own backward operations: the twin stays a
// composition of what ATen has.
at::Tensor plain_gradient(const at::Tensor& d_activation, const at::Tensor& gate, int64_t kind) {
  switch (static_cast<GateKind>(kind)) {
    case GateKind::kSilu:
      return at::silu_backward(d_activation, gate);
    case GateKind::kGeluTanh:
      return at::gelu_backward(d_activation, gate, "tanh");
    case GateKind::kRelu:
      return at::threshold_backward(d_activation, gate, 0);
  }
  LB_ASSERT(false, "kind of a gate");
}

// Rows worth a thread of their own.
int64_t grain(int64_t cols) {
  constexpr int64_t kNumbers = 1 << 14;
  return rows_per_thread(cols, kNumbers);
}

struct OnThreads {
  template <class T>
  void operator()(const GatedActivationJob<T>& job) const {
    at::parallel_for(0, job.rows, grain(job.cols),
                     [&](int64_t begin, int64_t end) { activate_rows(job, begin, end); });
  }
  template <class T>
  void operator()(const GatedActivationGradientJob<T>& job) const {
    at::parallel_for(0, job.rows, grain(job.cols),
                     [&](int64_t begin, int64_t end) { activate_gradient(job, begin, end); });
  }
};

class RecordedActivation : public torch::autograd::Function<RecordedActivation> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate, const at::Tensor& up,
                            int64_t kind) {
    const at::AutoDispatchBelowADInplaceOrView below;
    // Neither the activation nor the product.
    context->save_for_backward({gate, up});
    context->saved_data["kind"] = kind;
    return dispatched<GatedActivation>().call(gate, up, kind);
  }
  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const variable_list saved = context->get_saved_variables();
    const auto [d_gate, d_up] = dispatched<GatedActivationGradient>().call(
        dy[0], saved[0], saved[1], context->saved_data["kind"].toInt());
    return {d_gate, d_up, {}};
  }
};

}  // namespace

at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up, GateKind kind) {
  return dispatched<GatedActivation>().call(gate, up, static_cast<int64_t>(kind));
}

at::Tensor GatedActivation::twin(const at::Tensor& gate, const at::Tensor& up, int64_t kind) {
  return plain_activation(gate, kind) * up;
}

at::Tensor GatedActivation::cpu(const at::Tensor& gate, const at::Tensor& up, int64_t kind) {
  if (!has_kernel(gate, up, kind)) return twin(gate, up, kind);
  return with_job(gate, up, kind, OnThreads());
}

at::Tensor GatedActivation::autograd_cpu(const at::Tensor& gate, const at::Tensor& up,
                                         int64_t kind) {
  if (!has_kernel(gate, up, kind)) return twin(gate, up, kind);
  if (c10::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad())) {
    return RecordedActivation::apply(gate, up, kind);
  }
  // Nothing is recorded: below autograd the dispatcher finds the device's own form.
  const at::AutoDispatchBelowADInplaceOrView below;
  return dispatched<GatedActivation>().call(gate, up, kind);
}

GatedActivationGradient::Result GatedActivationGradient::twin(const at::Tensor& dy,
                                                              const at::Tensor& gate,
                                                              const at::Tensor& up, int64_t kind) {
  // y = a(gate) up: d_gate = dy up a'(gate), d_up = dy a(gate).
  return {plain_gradient(dy * up, gate, kind), dy * plain_activation(gate, kind)};
}

GatedActivationGradient::Result GatedActivationGradient::cpu(const at::Tensor& dy,
                                                             const at::Tensor& gate,
                                                             const at::Tensor& up, int64_t kind) {
  if (!has_kernel(dy, gate, up, kind)) return twin(dy, gate, up, kind);
  return with_job(dy, gate, up, kind, OnThreads());
}

namespace {

// What each reads and writes per number is told by `tensors`; with_dy: the gradient's arguments.
std::vector<OperationCase> gate_cases(const char* name, double tensors, bool with_dy) {
  struct Kind {
    GateKind kind;
    const char* text;
  };
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t cols, at::ScalarType dtype, const Kind& kind,
                       bool side_by_side, bool timed) {
    cases.push_back(
        {.operation = name,
         .shape = std::string(kind.text) + ", " + std::to_string(rows) + " x " +
                  std::to_string(cols) + (side_by_side ? ", side by side" : ""),
         .dtype = dtype,
         // The twin rounds between its steps in bf16, and loses digits of 1 + tanh(x), x < 0.
         .tolerance = dtype == at::kBFloat16 ? 8e-3
                      : dtype == at::kFloat  ? 3e-6
                                             : 1e-14,
         .bytes = tensors * static_cast<double>(rows * cols) *
                  static_cast<double>(c10::elementSize(dtype)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           const at::Tensor both = made_numbers("gate, up", {rows, 2 * cols}).mul_(3).to(dtype);
           at::Tensor gate = both.narrow(1, 0, cols), up = both.narrow(1, cols, cols);
           if (!side_by_side) {
             gate = gate.contiguous();
             up = up.contiguous();
           }
           torch::jit::Stack stack;
           if (with_dy) stack.emplace_back(made_numbers("dy", {rows, cols}).to(device, dtype));
           stack.emplace_back(gate.to(device));
           stack.emplace_back(up.to(device));
           stack.emplace_back(static_cast<int64_t>(kind.kind));
           return stack;
         }});
  };
  for (const Kind& kind : {Kind{GateKind::kSilu, "SiLU"}, Kind{GateKind::kGeluTanh, "tanh GeLU"},
                           Kind{GateKind::kRelu, "ReLU"}}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      add(0, 8, dtype, kind, /*side_by_side=*/false, /*timed=*/false);
      add(1, 1, dtype, kind, /*side_by_side=*/false, /*timed=*/false);
      add(7, 203, dtype, kind, /*side_by_side=*/false, /*timed=*/false);
      add(65, 40, dtype, kind, /*side_by_side=*/true, /*timed=*/false);
    }
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      add(2048, 1376, dtype, kind, /*side_by_side=*/false, /*timed=*/true);
    }
  }
  return cases;
}

}  // namespace

std::vector<OperationCase> GatedActivation::cases() { return gate_cases(kName, 3, false); }

std::vector<OperationCase> GatedActivationGradient::cases() { return gate_cases(kName, 5, true); }

}  // namespace littlebit
