// Layer norms over the last dimension, alone or of a sum that is wanted, too. They compute in fp32
// (fp64 for fp64 inputs), whatever the types they read and write; of the same types as RMS norms.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

#include "littlebit/kernels/layer_norm.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"
#include "littlebit/ops/rms_norm.h"

namespace littlebit {

// (x - mean(x)) * rsqrt(variance(x) + eps) * weight + bias in `dtype`; of x in fp64 always in fp64.
// weight and bias [cols] in fp32 (fp64). Records autograd history where grad mode is on and an
// input requires a gradient.
at::Tensor layer_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias, double eps);

// The same of sum = x + added, which has x's type.
NormedSum add_layer_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& added,
                            const at::Tensor& weight, const at::Tensor& bias, double eps);

// The operations themselves (src/ops/operation.h).
struct LayerNorm {
  static constexpr char kName[] = "littlebit::layer_norm";
  static constexpr char kArguments[] =
      "(Tensor x, Tensor weight, Tensor bias, float eps, ScalarType dtype) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         double eps, at::ScalarType dtype);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        double eps, at::ScalarType dtype);
  static at::Tensor autograd_cpu(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias, double eps, at::ScalarType dtype);
  static bool has_kernel(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                         double eps, at::ScalarType dtype);
  template <class Run>
  static at::Tensor with_job(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                             double eps, at::ScalarType dtype, const Run& run);
  static std::vector<OperationCase> cases();
};

struct AddLayerNorm {
  using Result = std::tuple<at::Tensor, at::Tensor>;  // sum, normed
  static constexpr char kName[] = "littlebit::add_layer_norm";
  static constexpr char kArguments[] =
      "(Tensor x, Tensor added, Tensor weight, Tensor bias, float eps, ScalarType dtype)"
      " -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = true;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                     const at::Tensor& bias, double eps, at::ScalarType dtype);
  static Result cpu(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                    const at::Tensor& bias, double eps, at::ScalarType dtype);
  static Result autograd_cpu(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                             const at::Tensor& bias, double eps, at::ScalarType dtype);
  static bool has_kernel(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                         const at::Tensor& bias, double eps, at::ScalarType dtype);
  template <class Run>
  static Result with_job(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                         const at::Tensor& bias, double eps, at::ScalarType dtype, const Run& run);
  static std::vector<OperationCase> cases();
};

// From dy, and what else is known of the derivative by x (the sum's; or none), those by x, weight
// and bias.
struct LayerNormGradient {
  using Result = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::layer_norm_gradient";
  static constexpr char kArguments[] =
      "(Tensor dy, Tensor x, Tensor weight, Tensor? d_sum, float eps) -> (Tensor, Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                     const std::optional<at::Tensor>& d_sum, double eps);
  static Result cpu(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& d_sum, double eps);
  static bool has_kernel(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& d_sum, double eps);
  template <class Run>
  static Result with_job(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& d_sum, double eps, const Run& run);
  static std::vector<OperationCase> cases();
};

namespace layer_norm_types {

// The job of rows that lie one behind the other; without `added` there is no sum.
template <class Run>
void with_norm_job(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                   const at::Tensor& bias, const at::Tensor& sum, const at::Tensor& y, double eps,
                   const Run& run) {
  rms_norm_types::choose(x.scalar_type(), y.scalar_type(), [&]<class X, class Y>(X /*x*/, Y /*y*/) {
    run(LayerNormJob<X, Y>{.x = elements<X>(x),
                           .added = added.defined() ? elements<X>(added) : nullptr,
                           .weight = elements<float>(weight),
                           .bias = elements<float>(bias),
                           .sum = added.defined() ? mutable_elements<X>(sum) : nullptr,
                           .y = mutable_elements<Y>(y),
                           .rows = num_rows(x),
                           .cols = x.size(-1),
                           .eps = static_cast<float>(eps)});
  });
}

}  // namespace layer_norm_types

inline bool LayerNorm::has_kernel(const at::Tensor& x, const at::Tensor& weight,
                                  const at::Tensor& bias, double /*eps*/, at::ScalarType dtype) {
  return bias.scalar_type() == weight.scalar_type() &&
         rms_norm_types::are_known(x.scalar_type(), dtype, weight.scalar_type());
}

template <class Run>
at::Tensor LayerNorm::with_job(const at::Tensor& x, const at::Tensor& weight,
                               const at::Tensor& bias, double eps, at::ScalarType dtype,
                               const Run& run) {
  const at::Tensor from = x.contiguous();
  const at::Tensor y = from.new_empty(from.sizes(), from.options().dtype(dtype));
  layer_norm_types::with_norm_job(from, {}, weight.contiguous(), bias.contiguous(), {}, y, eps,
                                  run);
  return y;
}

inline bool AddLayerNorm::has_kernel(const at::Tensor& x, const at::Tensor& added,
                                     const at::Tensor& weight, const at::Tensor& bias, double eps,
                                     at::ScalarType dtype) {
  return added.scalar_type() == x.scalar_type() &&
         LayerNorm::has_kernel(x, weight, bias, eps, dtype);
}

template <class Run>
AddLayerNorm::Result AddLayerNorm::with_job(const at::Tensor& x, const at::Tensor& added,
                                            const at::Tensor& weight, const at::Tensor& bias,
                                            double eps, at::ScalarType dtype, const Run& run) {
  const at::Tensor from = x.contiguous();
  const at::Tensor sum = from.new_empty(from.sizes());
  const at::Tensor y = from.new_empty(from.sizes(), from.options().dtype(dtype));
  layer_norm_types::with_norm_job(from, added.contiguous(), weight.contiguous(), bias.contiguous(),
                                  sum, y, eps, run);
  return {sum, y};
}

inline bool LayerNormGradient::has_kernel(const at::Tensor& dy, const at::Tensor& x,
                                          const at::Tensor& weight,
                                          const std::optional<at::Tensor>& d_sum, double /*eps*/) {
  return (!d_sum || d_sum->scalar_type() == x.scalar_type()) &&
         rms_norm_types::are_known(x.scalar_type(), dy.scalar_type(), weight.scalar_type());
}

template <class Run>
LayerNormGradient::Result LayerNormGradient::with_job(const at::Tensor& dy, const at::Tensor& x,
                                                      const at::Tensor& weight,
                                                      const std::optional<at::Tensor>& d_sum,
                                                      double eps, const Run& run) {
  const at::Tensor of_y = dy.contiguous(), from = x.contiguous(), scale = weight.contiguous();
  const at::Tensor of_sum = d_sum ? d_sum->contiguous() : at::Tensor();
  const at::Tensor dx = from.new_empty(from.sizes());
  at::Tensor partial;
  rms_norm_types::choose(
      from.scalar_type(), of_y.scalar_type(), [&]<class X, class Y>(X /*x*/, Y /*y*/) {
        LayerNormGradientJob<X, Y> job{.dy = elements<Y>(of_y),
                                       .x = elements<X>(from),
                                       .weight = elements<float>(scale),
                                       .d_sum = d_sum ? elements<X>(of_sum) : nullptr,
                                       .dx = mutable_elements<X>(dx),
                                       .partial = nullptr,
                                       .rows = num_rows(from),
                                       .cols = from.size(-1),
                                       .eps = static_cast<float>(eps)};
        partial = from.new_empty({job.parts(), 2, job.cols}, from.options().dtype(at::kFloat));
        job.partial = mutable_elements<float>(partial);
        run(job);
      });
  const at::Tensor sums = partial.sum(0);
  return {dx, sums[0], sums[1]};
}

}  // namespace littlebit
