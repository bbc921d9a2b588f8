// Several sign matrices of one buffer of bits to the matrices they stand for, at once: a single
// launch on a GPU, where a group of layers has dozens. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "littlebit/kernels/signs.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

enum class ScaledSide : int64_t { kRows, kColumns };

// outs[i] [rows, cols], strided views with unit column stride of one type (fp32, fp64 or bf16) that
// do not overlap: bits first_bits[i] .. first_bits[i] + rows * cols of `words` (int32, flat) times
// the scales of that side, those of `scales` (flat, outs' type) from scale_begins[i] on. Exact.
void expand_sign_matrices(at::TensorList outs, const at::Tensor& words, const at::Tensor& scales,
                          at::IntArrayRef first_bits, at::IntArrayRef scale_begins,
                          const std::vector<ScaledSide>& sides);

// The operation itself (src/ops/operation.h); `sides` are numbers of ScaledSide.
struct ExpandSignMatrices {
  static constexpr char kName[] = "littlebit::expand_sign_matrices";
  static constexpr char kArguments[] =
      "(Tensor(a!)[] outs, Tensor words, Tensor scales, int[] first_bits, int[] scale_begins,"
      " int[] sides) -> ()";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static void twin(at::TensorList outs, const at::Tensor& words, const at::Tensor& scales,
                   at::IntArrayRef first_bits, at::IntArrayRef scale_begins, at::IntArrayRef sides);
  static void cpu(at::TensorList outs, const at::Tensor& words, const at::Tensor& scales,
                  at::IntArrayRef first_bits, at::IntArrayRef scale_begins, at::IntArrayRef sides);
  template <class Run>
  static void with_job(at::TensorList outs, const at::Tensor& words, const at::Tensor& scales,
                       at::IntArrayRef first_bits, at::IntArrayRef scale_begins,
                       at::IntArrayRef sides, const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
void ExpandSignMatrices::with_job(at::TensorList outs, const at::Tensor& words,
                                  const at::Tensor& scales, at::IntArrayRef first_bits,
                                  at::IntArrayRef scale_begins, at::IntArrayRef sides,
                                  const Run& run) {
  if (outs.empty()) return;
  const at::Tensor flat = scales.contiguous();
  const auto job = [&]<class Kernel>(Kernel /*type*/) {
    std::vector<SignExpansion<Kernel>> jobs;
    for (size_t i = 0; i < outs.size(); ++i) {
      const at::Tensor& out = outs[i];
      TORCH_CHECK(out.size(1) <= 1 || out.stride(1) == 1, "rows of the expansion are contiguous");
      TORCH_CHECK(out.scalar_type() == flat.scalar_type(), "expansions of the scales' type");
      const Kernel* scale = elements<Kernel>(flat) + scale_begins[i];
      const bool by_rows = sides[i] == static_cast<int64_t>(ScaledSide::kRows);
      jobs.push_back({elements<uint32_t>(words), first_bits[i], out.size(0), out.size(1),
                      by_rows ? scale : nullptr, by_rows ? nullptr : scale,
                      mutable_elements<Kernel>(out), out.stride(0)});
    }
    run(SignExpansions<Kernel>{jobs.data(), static_cast<int64_t>(jobs.size())});
  };
  switch (flat.scalar_type()) {
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
