// Products straight from sign bits in the interleaved layout of kernels/sign_product.h: `words`
// int32, flat. fp32 sums. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// x [M, cols] fp32 -> (x * scale) S^T, fp32 [M, rows] (rows with gaps between them), from the bits.
// scale [cols] fp32 or undefined. Threads of ATen's pool where it is worth it.
at::Tensor multiply_interleaved_signs(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                                      const at::Tensor& scale);

// The operation itself (src/ops/operation.h).
struct MultiplyInterleavedSigns {
  static constexpr char kName[] = "littlebit::multiply_interleaved_signs";
  static constexpr char kArguments[] =
      "(Tensor words, int rows, Tensor x, Tensor? scale) -> Tensor";
  static constexpr bool kTwinDifferentiates = false;
  static at::Tensor twin(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                         const std::optional<at::Tensor>& scale);
  static at::Tensor cpu(const at::Tensor& words, int64_t rows, const at::Tensor& x,
                        const std::optional<at::Tensor>& scale);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
