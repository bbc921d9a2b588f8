// activation(gate) * up, and its derivative. Plain loops; no allocation, no threads of their own;
// safe to call from several threads on disjoint rows. Elements are float, or uint16_t for bfloat16;
// all is computed in fp32.
#pragma once

#include <cstdint>

#include "littlebit/kernels/instructions.h"

namespace littlebit {

enum class GateKind : int64_t { kSilu, kGeluTanh, kRelu };

// Rows of `cols`; those of gate and up lie `gate_stride` and `up_stride` apart, all others one
// behind the other.
template <class T>
struct GatedActivationJob {
  const T* gate;
  const T* up;
  T* y;
  int64_t rows, cols, gate_stride, up_stride;
  GateKind kind;
};

template <class T>
struct GatedActivationGradientJob {
  const T* dy;
  const T* gate;
  const T* up;
  T* d_gate;
  T* d_up;
  int64_t rows, cols, gate_stride, up_stride;
  GateKind kind;
};

void activate_rows(const GatedActivationJob<float>& job, int64_t row_begin, int64_t row_end,
                   Instructions use = best_instructions());
void activate_rows(const GatedActivationJob<uint16_t>& job, int64_t row_begin, int64_t row_end,
                   Instructions use = best_instructions());

void activate_gradient(const GatedActivationGradientJob<float>& job, int64_t row_begin,
                       int64_t row_end, Instructions use = best_instructions());
void activate_gradient(const GatedActivationGradientJob<uint16_t>& job, int64_t row_begin,
                       int64_t row_end, Instructions use = best_instructions());

}  // namespace littlebit
