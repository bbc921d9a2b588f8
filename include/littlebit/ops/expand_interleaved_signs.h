// Sign bits in the interleaved layout of kernels/sign_product.h to rows of their matrix: `words`
// int32, flat. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "littlebit/kernels/sign_product.h"
#include "littlebit/ops/elements.h"
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

  static constexpr bool kHasCudaKernel = true;
  template <class Run>
  static void with_job(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                       int64_t row_begin, const std::optional<at::Tensor>& row_scale,
                       const std::optional<at::Tensor>& column_scale, const Run& run);
};

template <class Run>
void ExpandInterleavedSigns::with_job(const at::Tensor& out, const at::Tensor& words, int64_t rows,
                                      int64_t row_begin, const std::optional<at::Tensor>& row_scale,
                                      const std::optional<at::Tensor>& column_scale,
                                      const Run& run) {
  TORCH_CHECK(out.size(1) <= 1 || out.stride(1) == 1, "rows of the expansion are contiguous");
  at::Tensor kept[2];
  const auto job = [&]<class Kernel>(Kernel /*type*/) {
    const auto data = [](const std::optional<at::Tensor>& scale, at::Tensor& contiguous) {
      if (!scale) return static_cast<const Kernel*>(nullptr);
      contiguous = scale->contiguous();
      return elements<Kernel>(contiguous);
    };
    run(InterleavedRows<Kernel>{{{elements<uint32_t>(words), rows, out.size(1)},
                                 data(row_scale, kept[0]),
                                 data(column_scale, kept[1]),
                                 mutable_elements<Kernel>(out),
                                 out.stride(0)},
                                row_begin,
                                row_begin + out.size(0)});
  };
  switch (out.scalar_type()) {
    case at::kFloat:
      return job(float{});
    case at::kDouble:
      return job(double{});
    case at::kBFloat16:
      return job(uint16_t{});
    default:
      TORCH_CHECK(false, "dtype of the expansion");
  }
}

}  // namespace littlebit
