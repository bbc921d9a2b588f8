// Sign bits to the matrix they stand for, in the layout of kernels/signs.h: bits first ..
// first + rows * cols of `words` (int32, flat). No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "littlebit/kernels/signs.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// out [rows, cols] (a strided view with unit column stride is fine; fp32, fp64 or bf16) = the signs
// times row_scale [rows] or column_scale [cols] (at most one defined, out's dtype). Exact.
void expand_sign_matrix(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                        const at::Tensor& row_scale, const at::Tensor& column_scale);

// The matrix of signs by plain ATen operations on any device.
at::Tensor expand_reference(const at::Tensor& words, int64_t first_bit, int64_t rows, int64_t cols,
                            at::ScalarType dtype);

// The operation itself (src/ops/operation.h).
struct ExpandSigns {
  static constexpr char kName[] = "littlebit::expand_signs";
  static constexpr char kArguments[] =
      "(Tensor(a!) out, Tensor words, int first_bit, Tensor? row_scale, Tensor? column_scale)"
      " -> ()";
  static constexpr bool kTwinDifferentiates = false;
  static void twin(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                   const std::optional<at::Tensor>& row_scale,
                   const std::optional<at::Tensor>& column_scale);
  static void cpu(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                  const std::optional<at::Tensor>& row_scale,
                  const std::optional<at::Tensor>& column_scale);
  static std::vector<OperationCase> cases();

  static constexpr bool kHasCudaKernel = true;
  template <class Run>
  static void with_job(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                       const std::optional<at::Tensor>& row_scale,
                       const std::optional<at::Tensor>& column_scale, const Run& run);
};

template <class Run>
void ExpandSigns::with_job(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                           const std::optional<at::Tensor>& row_scale,
                           const std::optional<at::Tensor>& column_scale, const Run& run) {
  TORCH_CHECK(out.size(1) <= 1 || out.stride(1) == 1, "rows of the expansion are contiguous");
  const auto job = [&]<class Kernel, class Element>(Kernel /*type*/, Element /*type*/) {
    at::Tensor kept[2];
    const auto data = [](const std::optional<at::Tensor>& scale, at::Tensor& contiguous) {
      if (!scale) return static_cast<const Kernel*>(nullptr);
      contiguous = scale->contiguous();
      return reinterpret_cast<const Kernel*>(contiguous.const_data_ptr<Element>());
    };
    run(SignExpansion<Kernel>{reinterpret_cast<const uint32_t*>(words.const_data_ptr<int32_t>()),
                              first_bit, out.size(0), out.size(1), data(row_scale, kept[0]),
                              data(column_scale, kept[1]),
                              reinterpret_cast<Kernel*>(out.data_ptr<Element>()), out.stride(0)});
  };
  switch (out.scalar_type()) {
    case at::kFloat:
      return job(float{}, float{});
    case at::kDouble:
      return job(double{}, double{});
    case at::kBFloat16:
      return job(uint16_t{}, at::BFloat16{});
    default:
      TORCH_CHECK(false, "dtype of the expansion");
  }
}

}  // namespace littlebit
