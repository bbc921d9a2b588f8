// Products straight from sign bits, and their expansion, in the interleaved layout of
// kernels/sign_product.h: `words` int32, flat. fp32 sums. No gradients.
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

// out [count, cols] (unit column stride; fp32, fp64 or bf16) = the signs of the rows from row_begin
// on, times row_scale [rows] or column_scale [cols] of the same dtype, at most one defined.
void expand_interleaved_signs(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                              int64_t row_begin, const at::Tensor& row_scale,
                              const at::Tensor& column_scale);

// The operations themselves (src/ops/operation.h).
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
