// DenseLinear: one matrix product over the weight as it lies in memory (mapped files included),
// never copied.
#include "littlebit/nn/linear.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/nn/products.h"

namespace littlebit {

at::Tensor Linear::to_latent(const at::Tensor& /*x*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor Linear::from_latent(const at::Tensor& /*latent*/) const {
  LB_ASSERT(false, "a layer of one matrix has no latent");
}

at::Tensor DenseLinear::forward(const at::Tensor& x) const { return affine(x, weight_, bias_); }

at::Tensor linear_as_stored(const at::Tensor& x, const at::Tensor& weight) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(x.scalar_type() == at::kFloat && weight.scalar_type() == at::kBFloat16, "dtypes");
  const int64_t d_out = weight.size(0), d_in = weight.size(1);
  const at::Tensor rows = x.reshape({-1, d_in});
  at::Tensor y;
  constexpr int64_t kFewRows = 4;  // beyond, one pass over the matrix for all rows is cheaper
  if (x.is_cpu() && weight.is_contiguous() && rows.size(0) <= kFewRows) {
    y = at::empty({rows.size(0), d_out}, x.options());
    const auto* w = static_cast<const uint16_t*>(weight.const_data_ptr());
    const at::Tensor from = rows.contiguous();
    constexpr int64_t kGrain = 1 << 19;  // products worth a thread of their own
    at::parallel_for(0, d_out, std::max<int64_t>(1, kGrain / d_in),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t r = 0; r < from.size(0); ++r) {
                         multiply_bf16(w, d_in, from.const_data_ptr<float>() + r * d_in, begin, end,
                                       y.data_ptr<float>() + r * d_out);
                       }
                     });
  } else {
    y = product_by_pieces(rows, d_out, [&](int64_t begin, int64_t count) {
      return weight.narrow(0, begin, count).to(at::kFloat);
    });
  }
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = d_out;
  return y.view(shape);
}

at::Tensor linear_widened(const at::Tensor& x, const at::Tensor& weight) {
  const c10::AutoGradMode no_grad(false);
  LB_ASSERT(x.scalar_type() == at::kBFloat16 && weight.scalar_type() == at::kBFloat16, "dtypes");
  // Only CUDA has a product of bf16 that returns its sums.
  if (!x.is_cuda()) return linear_as_stored(x.to(at::kFloat), weight);
  std::vector<int64_t> shape = x.sizes().vec();
  const at::Tensor rows = x.reshape({-1, shape.back()});
  shape.back() = weight.size(0);
  return at::mm(rows, weight.t(), at::kFloat).view(shape);
}

}  // namespace littlebit
