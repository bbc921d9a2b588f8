// Products of rows with several matrices of signs straight from their bits, in the interleaved
// layout of kernels/sign_product.h (`words`: int32, flat): a factor of a packed layer with both
// paths, or of layers that read the same x, at once. fp32 sums. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "littlebit/kernels/sign_product.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// The operation itself (src/ops/operation.h).
//
// x [M, K] and y [M, sum of `rows`], both in fp32 or bf16 (fp64: the twin). Sum s, rows[s] columns
// of y beside those of the one before it, has words.size() / rows.size() terms (one or two): term i
// is ((x_i * in_scales[i]) S_i^T) * out_scales[i], where S_i [rows[s], cols[i]] is words[i] and x_i
// the cols[i] columns of x from begins[i] on. in_scales: empty, or one [cols[i]] a term; biases:
// empty, or one [rows[s]] a sum. Scales and biases are in fp32 (fp64).
struct SignProducts {
  static constexpr char kName[] = "littlebit::sign_products";
  static constexpr char kArguments[] =
      "(Tensor x, Tensor[] words, int[] rows, int[] cols, int[] begins, Tensor[] in_scales,"
      " Tensor[] out_scales, Tensor[] biases) -> Tensor";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor twin(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                         at::IntArrayRef cols, at::IntArrayRef begins, at::TensorList in_scales,
                         at::TensorList out_scales, at::TensorList biases);
  static at::Tensor cpu(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                        at::IntArrayRef cols, at::IntArrayRef begins, at::TensorList in_scales,
                        at::TensorList out_scales, at::TensorList biases);
  static bool has_kernel(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                         at::IntArrayRef cols, at::IntArrayRef begins, at::TensorList in_scales,
                         at::TensorList out_scales, at::TensorList biases);
  template <class Run>
  static at::Tensor with_job(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                             at::IntArrayRef cols, at::IntArrayRef begins, at::TensorList in_scales,
                             at::TensorList out_scales, at::TensorList biases, const Run& run);
  static std::vector<OperationCase> cases();
};

inline bool SignProducts::has_kernel(const at::Tensor& x, at::TensorList /*words*/,
                                     at::IntArrayRef /*rows*/, at::IntArrayRef /*cols*/,
                                     at::IntArrayRef /*begins*/, at::TensorList /*in_scales*/,
                                     at::TensorList /*out_scales*/, at::TensorList /*biases*/) {
  return x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
}

template <class Run>
at::Tensor SignProducts::with_job(const at::Tensor& x, at::TensorList words, at::IntArrayRef rows,
                                  at::IntArrayRef cols, at::IntArrayRef begins,
                                  at::TensorList in_scales, at::TensorList out_scales,
                                  at::TensorList biases, const Run& run) {
  const at::Tensor from = x.size(1) <= 1 || x.stride(1) == 1 ? x : x.contiguous();
  int64_t columns = 0;
  for (const int64_t of_sum : rows) columns += of_sum;
  const at::Tensor y = from.new_empty({from.size(0), columns});
  const size_t terms = words.size() / std::max<size_t>(1, rows.size());
  // What is copied to be contiguous is kept until the kernel is on its way.
  std::vector<at::Tensor> kept;
  const auto numbers = [&kept](at::TensorList list, size_t i) {
    if (list.empty()) return static_cast<const float*>(nullptr);
    kept.push_back(list[i].contiguous());
    return elements<float>(kept.back());
  };
  const auto job = [&]<class Kernel>(Kernel /*type*/) {
    std::vector<SignSum<Kernel>> sums;
    int64_t column = 0;
    for (size_t s = 0; s < rows.size(); ++s) {
      SignSum<Kernel> sum{.count = static_cast<int64_t>(terms),
                          .y = mutable_elements<Kernel>(y) + column,
                          .bias = numbers(biases, s)};
      for (size_t t = 0; t < terms; ++t) {
        const size_t i = s * terms + t;
        kept.push_back(words[i].contiguous());
        sum.terms[t] = {{elements<uint32_t>(kept.back()), rows[s], cols[i]},
                        elements<Kernel>(from) + begins[i],
                        numbers(in_scales, i),
                        numbers(out_scales, i)};
      }
      sums.push_back(sum);
      column += rows[s];
    }
    run(SignSums<Kernel>{sums.data(), static_cast<int64_t>(sums.size()), from.size(0),
                         from.stride(0), columns});
  };
  from.scalar_type() == at::kBFloat16 ? job(uint16_t{}) : job(float{});
  return y;
}

}  // namespace littlebit
