// Rows times a matrix of signs (or any other that bf16 holds exactly), scaled by columns before and
// after, in fp32. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// y [m, n] (fp32, unit stride of its columns) = ((x * in_scale) b^T) * out_scale, or what is there
// and that. x [m, k] fp32; b [n, k] bf16; scales fp32, [k] and [n], undefined: ones.
struct ScaledProductJob {
  at::Tensor x, b, in_scale, out_scale;
  bool adds = false;
};
void scaled_product(const at::Tensor& y, const ScaledProductJob& job);

// The operation itself (src/ops/operation.h).
struct ScaledProduct {
  static constexpr char kName[] = "littlebit::scaled_product";
  static constexpr char kArguments[] =
      "(Tensor(a!) y, Tensor x, Tensor b, Tensor? in_scale, Tensor? out_scale, bool adds) -> ()";
  static constexpr bool kTwinDifferentiates = false;
  static void twin(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b,
                   const std::optional<at::Tensor>& in_scale,
                   const std::optional<at::Tensor>& out_scale, bool adds);
  static void cpu(const at::Tensor& y, const at::Tensor& x, const at::Tensor& b,
                  const std::optional<at::Tensor>& in_scale,
                  const std::optional<at::Tensor>& out_scale, bool adds);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
