// bf16 matrices times rows: few rows by a loop of room kernels, many by widened pieces.
#include "littlebit/ops/bf16_product.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/kernels/sign_product.h"
#include "littlebit/ops/product.h"
#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"
#include "ops/split_product.h"

namespace littlebit {
at::Tensor bf16_product(const at::Tensor& x, const at::Tensor& weight) {
  LB_ASSERT(weight.scalar_type() == at::kBFloat16 &&
                (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16),
            "dtypes");
  return dispatched<Bf16Product>().call(x, weight);
}

at::Tensor Bf16Product::twin(const at::Tensor& x, const at::Tensor& weight) {
  const auto piece = [&](int64_t begin, int64_t count) {
    return weight.narrow(0, begin, count).to(at::kFloat);
  };
  return chunked_matmul(rows_of(x).to(at::kFloat), weight.size(0), piece)
      .view(with_last(x, weight.size(0)));
}

at::Tensor Bf16Product::cpu(const at::Tensor& x, const at::Tensor& weight) {
  constexpr int64_t kFewRows = 4;  // beyond, one pass over the matrix for all rows is cheaper
  const at::Tensor rows = rows_of(x);
  // For few rows reading the matrix is what takes the time, so it is read as it is stored; for many
  // a product by tiles pays, or widening a piece at a time.
  if (!weight.is_contiguous() || rows.size(0) > kFewRows) {
    if (!has_split_products()) return twin(x, weight);
    const at::Tensor y = at::empty({rows.size(0), weight.size(0)}, x.options().dtype(at::kFloat));
    split_product({.a = rows, .b = weight, .y = y});
    return y.view(with_last(x, weight.size(0)));
  }
  const at::Tensor from = rows.to(at::kFloat).contiguous();
  const int64_t d_out = weight.size(0), d_in = weight.size(1);
  const at::Tensor y = at::empty({rows.size(0), d_out}, from.options());
  const auto* w = static_cast<const uint16_t*>(weight.const_data_ptr());
  constexpr int64_t kGrain = 1 << 19;  // products worth a thread of their own
  at::parallel_for(0, d_out, std::max<int64_t>(1, kGrain / d_in), [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < from.size(0); ++r) {
      multiply_bf16(w, d_in, from.const_data_ptr<float>() + r * d_in, begin, end,
                    y.data_ptr<float>() + r * d_out);
    }
  });
  return y.view(with_last(x, weight.size(0)));
}

// ATen's own, which returns its sums on CUDA only.
at::Tensor Bf16Product::cuda(const at::Tensor& x, const at::Tensor& weight) {
  // x in fp32 would have to be rounded for a bf16 product: then the matrix is widened by pieces.
  if (x.scalar_type() != at::kBFloat16) return twin(x, weight);
  return at::mm(rows_of(x), weight.t(), at::kFloat).view(with_last(x, weight.size(0)));
}

std::vector<OperationCase> Bf16Product::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t d_out, int64_t d_in, at::ScalarType dtype,
                       bool timed) {
    cases.push_back({.operation = kName,
                     .shape = std::to_string(rows) + " rows, " + std::to_string(d_out) + " x " +
                              std::to_string(d_in),
                     .dtype = dtype,
                     .tolerance = 1e-6,  // the products are exact, the order of the sums is not
                     .flops = 2.0 * static_cast<double>(rows) * static_cast<double>(d_out * d_in),
                     .bytes = 2.0 * static_cast<double>(d_out * d_in),
                     .timed = timed,
                     .arguments = [=](at::Device device) {
                       return torch::jit::Stack{
                           made_numbers("x", {rows, 1, d_in}).to(device, dtype),
                           made_numbers("weight", {d_out, d_in}).to(device, at::kBFloat16)};
                     }});
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t rows : {1, 4, 5, 33}) add(rows, 97, 203, dtype, /*timed=*/false);
    for (const int64_t rows : {1, 64}) add(rows, 32000, 2048, dtype, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
