// The product inside a gated MLP: activation(gate) * up. It computes in fp32 (fp64 for fp64
// inputs).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "littlebit/kernels/gated_activation.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// gate, up [..., cols] of one type; parts of wider rows are read where they lie. Returns their
// type. Records autograd history where grad mode is on and one of them requires a gradient.
at::Tensor gated_activation(const at::Tensor& gate, const at::Tensor& up, GateKind kind);

// The operations themselves (src/ops/operation.h); `kind` is a GateKind.
struct GatedActivation {
  static constexpr char kName[] = "littlebit::gated_activation";
  static constexpr char kArguments[] = "(Tensor gate, Tensor up, int kind) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor twin(const at::Tensor& gate, const at::Tensor& up, int64_t kind);
  static at::Tensor cpu(const at::Tensor& gate, const at::Tensor& up, int64_t kind);
  static at::Tensor autograd_cpu(const at::Tensor& gate, const at::Tensor& up, int64_t kind);
  static bool has_kernel(const at::Tensor& gate, const at::Tensor& up, int64_t kind);
  template <class Run>
  static at::Tensor with_job(const at::Tensor& gate, const at::Tensor& up, int64_t kind,
                             const Run& run);
  static std::vector<OperationCase> cases();
};

struct GatedActivationGradient {
  using Result = std::tuple<at::Tensor, at::Tensor>;  // by gate, by up
  static constexpr char kName[] = "littlebit::gated_activation_gradient";
  static constexpr char kArguments[] =
      "(Tensor dy, Tensor gate, Tensor up, int kind) -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up,
                     int64_t kind);
  static Result cpu(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up,
                    int64_t kind);
  static bool has_kernel(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up,
                         int64_t kind);
  template <class Run>
  static Result with_job(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up,
                         int64_t kind, const Run& run);
  static std::vector<OperationCase> cases();
};

inline bool GatedActivation::has_kernel(const at::Tensor& gate, const at::Tensor& up,
                                        int64_t /*kind*/) {
  return gate.scalar_type() == up.scalar_type() && gate.sizes() == up.sizes() && gate.dim() > 0 &&
         (gate.scalar_type() == at::kFloat || gate.scalar_type() == at::kBFloat16);
}

template <class Run>
at::Tensor GatedActivation::with_job(const at::Tensor& gate, const at::Tensor& up, int64_t kind,
                                     const Run& run) {
  const at::Tensor gates = as_rows_in_place(gate), ups = as_rows_in_place(up);
  const at::Tensor y = gate.new_empty(gate.sizes());
  const auto job = [&]<class T>(T /*element*/) {
    run(GatedActivationJob<T>{.gate = elements<T>(gates),
                              .up = elements<T>(ups),
                              .y = mutable_elements<T>(y),
                              .rows = num_rows(gate),
                              .cols = gate.size(-1),
                              .gate_stride = gates.stride(0),
                              .up_stride = ups.stride(0),
                              .kind = static_cast<GateKind>(kind)});
  };
  gate.scalar_type() == at::kFloat ? job(float()) : job(uint16_t());
  return y;
}

inline bool GatedActivationGradient::has_kernel(const at::Tensor& dy, const at::Tensor& gate,
                                                const at::Tensor& up, int64_t kind) {
  return dy.scalar_type() == gate.scalar_type() && dy.sizes() == gate.sizes() &&
         GatedActivation::has_kernel(gate, up, kind);
}

template <class Run>
GatedActivationGradient::Result GatedActivationGradient::with_job(const at::Tensor& dy,
                                                                  const at::Tensor& gate,
                                                                  const at::Tensor& up,
                                                                  int64_t kind, const Run& run) {
  const at::Tensor gates = as_rows_in_place(gate), ups = as_rows_in_place(up);
  const at::Tensor of_y = dy.contiguous();
  const at::Tensor d_gate = gate.new_empty(gate.sizes()), d_up = gate.new_empty(gate.sizes());
  const auto job = [&]<class T>(T /*element*/) {
    run(GatedActivationGradientJob<T>{.dy = elements<T>(of_y),
                                      .gate = elements<T>(gates),
                                      .up = elements<T>(ups),
                                      .d_gate = mutable_elements<T>(d_gate),
                                      .d_up = mutable_elements<T>(d_up),
                                      .rows = num_rows(gate),
                                      .cols = gate.size(-1),
                                      .gate_stride = gates.stride(0),
                                      .up_stride = ups.stride(0),
                                      .kind = static_cast<GateKind>(kind)});
  };
  gate.scalar_type() == at::kFloat ? job(float()) : job(uint16_t());
  return {d_gate, d_up};
}

}  // namespace littlebit
