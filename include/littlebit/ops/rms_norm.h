// RMS norms over the last dimension, alone or of a sum that is wanted, too. They compute in fp32
// (fp64 for fp64 inputs), whatever the types they read and write.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

#include "littlebit/kernels/rms_norm.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// x * rsqrt(mean(x^2) + eps) * (weight + offset) in `dtype`; of x in fp64 always in fp64. weight
// [cols] in fp32 (fp64). Records autograd history where grad mode is on and x or weight requires a
// gradient.
at::Tensor rms_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& weight,
                       double eps, double offset);

// The same of sum = x + added, which has x's type.
struct NormedSum {
  at::Tensor sum, normed;
};
NormedSum add_rms_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& added,
                          const at::Tensor& weight, double eps, double offset);

// The operations themselves (src/ops/operation.h).
struct RmsNorm {
  static constexpr char kName[] = "littlebit::rms_norm";
  static constexpr char kArguments[] =
      "(Tensor x, Tensor weight, float eps, float offset, ScalarType dtype) -> Tensor";
  static constexpr bool kTwinDifferentiates = true;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor twin(const at::Tensor& x, const at::Tensor& weight, double eps, double offset,
                         at::ScalarType dtype);
  static at::Tensor cpu(const at::Tensor& x, const at::Tensor& weight, double eps, double offset,
                        at::ScalarType dtype);
  static at::Tensor autograd_cpu(const at::Tensor& x, const at::Tensor& weight, double eps,
                                 double offset, at::ScalarType dtype);
  static bool has_kernel(const at::Tensor& x, const at::Tensor& weight, double eps, double offset,
                         at::ScalarType dtype);
  template <class Run>
  static at::Tensor with_job(const at::Tensor& x, const at::Tensor& weight, double eps,
                             double offset, at::ScalarType dtype, const Run& run);
  static std::vector<OperationCase> cases();
};

struct AddRmsNorm {
  using Result = std::tuple<at::Tensor, at::Tensor>;  // sum, normed
  static constexpr char kName[] = "littlebit::add_rms_norm";
  static constexpr char kArguments[] =
      "(Tensor x, Tensor added, Tensor weight, float eps, float offset, ScalarType dtype)"
      " -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = true;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                     double eps, double offset, at::ScalarType dtype);
  static Result cpu(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                    double eps, double offset, at::ScalarType dtype);
  static Result autograd_cpu(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                             double eps, double offset, at::ScalarType dtype);
  static bool has_kernel(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                         double eps, double offset, at::ScalarType dtype);
  template <class Run>
  static Result with_job(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                         double eps, double offset, at::ScalarType dtype, const Run& run);
  static std::vector<OperationCase> cases();
};

// From dy, and what else is known of the derivative by x (the sum's; or none), those by x and
// weight.
struct RmsNormGradient {
  using Result = std::tuple<at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::rms_norm_gradient";
  static constexpr char kArguments[] =
      "(Tensor dy, Tensor x, Tensor weight, Tensor? d_sum, float eps, float offset)"
      " -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                     const std::optional<at::Tensor>& d_sum, double eps, double offset);
  static Result cpu(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& d_sum, double eps, double offset);
  static bool has_kernel(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& d_sum, double eps, double offset);
  template <class Run>
  static Result with_job(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                         const std::optional<at::Tensor>& d_sum, double eps, double offset,
                         const Run& run);
  static std::vector<OperationCase> cases();
};

namespace rms_norm_types {

// Whether there are kernels for rows of these types, and those of weights.
inline bool are_known(at::ScalarType x, at::ScalarType y, at::ScalarType weight) {
  return weight == at::kFloat && ((x == at::kFloat && (y == at::kFloat || y == at::kBFloat16)) ||
                                  (x == at::kBFloat16 && y == at::kBFloat16));
}

// Calls run(X(), Y()) with the kernels' types of known ones.
template <class Run>
void choose(at::ScalarType x, at::ScalarType y, const Run& run) {
  if (x == at::kBFloat16) return run(uint16_t(), uint16_t());
  y == at::kBFloat16 ? run(float(), uint16_t()) : run(float(), float());
}

// The job of rows that lie one behind the other; without `added` there is no sum.
template <class Run>
void with_norm_job(const at::Tensor& x, const at::Tensor& added, const at::Tensor& weight,
                   const at::Tensor& sum, const at::Tensor& y, double eps, double offset,
                   const Run& run) {
  choose(x.scalar_type(), y.scalar_type(), [&]<class X, class Y>(X /*x*/, Y /*y*/) {
    run(RmsNormJob<X, Y>{.x = elements<X>(x),
                         .added = added.defined() ? elements<X>(added) : nullptr,
                         .weight = elements<float>(weight),
                         .sum = added.defined() ? mutable_elements<X>(sum) : nullptr,
                         .y = mutable_elements<Y>(y),
                         .rows = num_rows(x),
                         .cols = x.size(-1),
                         .eps = static_cast<float>(eps),
                         .offset = static_cast<float>(offset)});
  });
}

}  // namespace rms_norm_types

inline bool RmsNorm::has_kernel(const at::Tensor& x, const at::Tensor& weight, double /*eps*/,
                                double /*offset*/, at::ScalarType dtype) {
  return rms_norm_types::are_known(x.scalar_type(), dtype, weight.scalar_type());
}

template <class Run>
at::Tensor RmsNorm::with_job(const at::Tensor& x, const at::Tensor& weight, double eps,
                             double offset, at::ScalarType dtype, const Run& run) {
  const at::Tensor from = x.contiguous();
  const at::Tensor y = from.new_empty(from.sizes(), from.options().dtype(dtype));
  rms_norm_types::with_norm_job(from, {}, weight.contiguous(), {}, y, eps, offset, run);
  return y;
}

inline bool AddRmsNorm::has_kernel(const at::Tensor& x, const at::Tensor& added,
                                   const at::Tensor& weight, double /*eps*/, double /*offset*/,
                                   at::ScalarType dtype) {
  return added.scalar_type() == x.scalar_type() &&
         rms_norm_types::are_known(x.scalar_type(), dtype, weight.scalar_type());
}

template <class Run>
AddRmsNorm::Result AddRmsNorm::with_job(const at::Tensor& x, const at::Tensor& added,
                                        const at::Tensor& weight, double eps, double offset,
                                        at::ScalarType dtype, const Run& run) {
  const at::Tensor from = x.contiguous();
  const at::Tensor sum = from.new_empty(from.sizes());
  const at::Tensor y = from.new_empty(from.sizes(), from.options().dtype(dtype));
  rms_norm_types::with_norm_job(from, added.contiguous(), weight.contiguous(), sum, y, eps, offset,
                                run);
  return {sum, y};
}

inline bool RmsNormGradient::has_kernel(const at::Tensor& dy, const at::Tensor& x,
                                        const at::Tensor& weight,
                                        const std::optional<at::Tensor>& d_sum, double /*eps*/,
                                        double /*offset*/) {
  return (!d_sum || d_sum->scalar_type() == x.scalar_type()) &&
         rms_norm_types::are_known(x.scalar_type(), dy.scalar_type(), weight.scalar_type());
}

template <class Run>
RmsNormGradient::Result RmsNormGradient::with_job(const at::Tensor& dy, const at::Tensor& x,
                                                  const at::Tensor& weight,
                                                  const std::optional<at::Tensor>& d_sum,
                                                  double eps, double offset, const Run& run) {
  const at::Tensor of_y = dy.contiguous(), from = x.contiguous(), scale = weight.contiguous();
  const at::Tensor of_sum = d_sum ? d_sum->contiguous() : at::Tensor();
  const at::Tensor dx = from.new_empty(from.sizes());
  at::Tensor partial;
  rms_norm_types::choose(
      from.scalar_type(), of_y.scalar_type(), [&]<class X, class Y>(X /*x*/, Y /*y*/) {
        RmsNormGradientJob<X, Y> job{.dy = elements<Y>(of_y),
                                     .x = elements<X>(from),
                                     .weight = elements<float>(scale),
                                     .d_sum = d_sum ? elements<X>(of_sum) : nullptr,
                                     .dx = mutable_elements<X>(dx),
                                     .partial = nullptr,
                                     .rows = num_rows(from),
                                     .cols = from.size(-1),
                                     .eps = static_cast<float>(eps),
                                     .offset = static_cast<float>(offset)};
        partial = scale.new_empty({job.parts(), job.cols});
        job.partial = mutable_elements<float>(partial);
        run(job);
      });
  return {dx, partial.sum(0)};
}

}  // namespace littlebit
