// Rotary position embedding, partial where the tables are narrower than the heads. Computes in fp32
// (fp64 for fp64 inputs).
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "littlebit/kernels/rotary.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// The operation itself (src/ops/operation.h); nn/functional.h has the function. x [B, n, T, D], cos
// and sin [T, D_rot / 2] in fp32 (fp64): pairs (i, i + D_rot / 2) are turned, back where `back`,
// which is its own derivative's direction. Of x's type, and lies in memory as x does.
struct Rotary {
  static constexpr char kName[] = "littlebit::rotary";
  static constexpr char kArguments[] = "(Tensor x, Tensor cos, Tensor sin, bool back) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor call(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                         bool back = false);
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                         bool back);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                        bool back);
  static at::Tensor autograd_cpu(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                                 bool back);
  // Tables that want gradients are left to ATen.
  static bool has_kernel(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                         bool /*back*/) {
    return x.dim() == 4 && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
           cos.scalar_type() == at::kFloat && sin.scalar_type() == at::kFloat &&
           !cos.requires_grad() && !sin.requires_grad();
  }
  template <class Run>
  static at::Tensor with_job(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                             bool back, const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
at::Tensor Rotary::with_job(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                            bool back, const Run& run) {
  const at::Tensor from = x.stride(3) == 1 ? x : x.contiguous();
  TORCH_CHECK(cos.sizes() == sin.sizes() && cos.dim() == 2 && cos.size(0) == x.size(2) &&
                  2 * cos.size(1) <= x.size(3),
              "a sine and a cosine for every pair of every position");
  // As x lies, without gaps: [B, T, n, D] seen as [B, n, T, D], or as it says.
  const bool by_positions = from.stride(1) <= from.stride(2);
  const at::Tensor y =
      by_positions ? from.new_empty({x.size(0), x.size(2), x.size(1), x.size(3)}).transpose(1, 2)
                   : from.new_empty(x.sizes());
  const at::Tensor cosines = cos.contiguous(), sines = sin.contiguous();
  const auto job = [&]<class T>(T /*element*/) {
    run(RotaryJob<T>{.x = elements<T>(from),
                     .y = mutable_elements<T>(y),
                     .cos = elements<float>(cosines),
                     .sin = elements<float>(sines),
                     .batch = x.size(0),
                     .heads = x.size(1),
                     .length = x.size(2),
                     .size = x.size(3),
                     .half = cos.size(1),
                     .x_strides = {from.stride(0), from.stride(1), from.stride(2)},
                     .y_strides = {y.stride(0), y.stride(1), y.stride(2)},
                     .back = back});
  };
  x.scalar_type() == at::kFloat ? job(float()) : job(uint16_t());
  return y;
}

}  // namespace littlebit
