// Sign bits in the interleaved layout of kernels/sign_product.h to rows of their matrix: `words`
// int32, flat. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "littlebit/ops/operation_case.h"

namespace littlebit {

// out [count, cols] (unit column stride; fp32, fp64 or bf16) = the signs of the rows from row_begin
// on, times row_scale [rows] or column_scale [cols] of the same dtype, at most one defined.
void expand_interleaved_signs(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                              int64_t row_begin, const at::Tensor& row_scale,
                              const at::Tensor& column_scale);

// The operation itself (src/ops/operation.h).
struct ExpandInterleavedSigns {
  static constexpr char kName[] = "littlebit::expand_interleaved_signs";
  static constexpr char kArguments[] =
      "(Tensor(a!) out, Tensor words, int rows, int row_begin, Tensor? row_scale,"
      " Tensor? column_scale) -> ()";
  static constexpr bool kTwinDifferentiates = false;
  static void twin(const at::Tensor& out, const at::Tensor& words, int64_t rows, int64_t row_begin,
                   const std::optional<at::Tensor>& row_scale,
                   const std::optional<at::Tensor>& column_scale);
  static void cpu(const at::Tensor& out, const at::Tensor& words, int64_t rows, int64_t row_begin,
                  const std::optional<at::Tensor>& row_scale,
                  const std::optional<at::Tensor>& column_scale);
  static std::vector<OperationCase> cases();
};

}  // namespace littlebit
