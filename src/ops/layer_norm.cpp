// Layer norms in one pass over each row, also of a sum that is formed on the way, as in
// rms_norm.cpp: a row's mean and scale are computed anew in the backward pass, which keeps only
// what the norm was of.
#include "littlebit/ops/layer_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/made_numbers.h"
#include "ops/norm_parts.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows of mean 0 and variance 1, and what they were multiplied with.
struct Unit {
  at::Tensor values, scale;
};
Unit unit_rows(const at::Tensor& x, double eps) {
  const at::Tensor wide = x.to(accumulate_type(x));
  // The variance in a second pass over differences from the mean: mean(x^2) - mean^2 would cancel
  // where the mean is large.
  const at::Tensor centred = wide - at::mean(wide, -1, /*keepdim=*/true);
  at::Tensor scale = at::rsqrt(at::mean(centred * centred, -1, /*keepdim=*/true) + eps);
  return {centred * scale, std::move(scale)};
}

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      double eps, at::ScalarType dtype) {
  const at::ScalarType type = accumulate_type(x);
  return (unit_rows(x, eps).values * weight.to(type) + bias.to(type)).to(result_type(x, dtype));
}

// One functor for both directions: with_job() makes the job, this gives its rows to threads.
struct OnThreads {
  template <class X, class Y>
  void operator()(const LayerNormJob<X, Y>& job) const {
    on_threads_by_rows(job, [&](int64_t begin, int64_t end) { layer_norm_rows(job, begin, end); });
  }
  template <class X, class Y>
  void operator()(const LayerNormGradientJob<X, Y>& job) const {
    on_threads_by_parts(job,
                        [&](int64_t begin, int64_t end) { layer_norm_gradient(job, begin, end); });
  }
};

// No derivative needs the bias, so it is not kept.
LayerNormGradient::Result gradients(AutogradContext* context, const at::Tensor& dy,
                                    const at::Tensor& d_sum) {
  const variable_list saved = context->get_saved_variables();
  return dispatched<LayerNormGradient>().call(dy, saved[0], saved[1], optional_tensor(d_sum),
                                              context->saved_data["eps"].toDouble());
}

class RecordedNorm : public torch::autograd::Function<RecordedNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, double eps, at::ScalarType dtype) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    return dispatched<LayerNorm>().call(x, weight, bias, eps, dtype);
  }
  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const auto [dx, d_weight, d_bias] = gradients(context, dy[0], {});
    return {dx, d_weight, d_bias, {}, {}};
  }
};

class RecordedSum : public torch::autograd::Function<RecordedSum> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x,
                               const at::Tensor& added, const at::Tensor& weight,
                               const at::Tensor& bias, double eps, at::ScalarType dtype) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [sum, y] = dispatched<AddLayerNorm>().call(x, added, weight, bias, eps, dtype);
    context->save_for_backward({sum, weight});
    context->saved_data["eps"] = eps;
    // Zeros for an unused output would cost a pass.
    context->set_materialize_grads(false);
    return {sum, y};
  }
  // dy[0] is the residual stream's gradient by the sum, dy[1] the norm's; x and added share their
  // total.
  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    if (!dy[1].defined()) return {dy[0], dy[0], {}, {}, {}, {}};
    const auto [dx, d_weight, d_bias] = gradients(context, dy[1], dy[0]);
    return {dx, dx, d_weight, d_bias, {}, {}};
  }
};

}  // namespace

at::Tensor layer_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& weight,
                         const at::Tensor& bias, double eps) {
  return dispatched<LayerNorm>().call(x, weight, bias, eps, dtype);
}

NormedSum add_layer_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& added,
                            const at::Tensor& weight, const at::Tensor& bias, double eps) {
  auto [sum, normed] = dispatched<AddLayerNorm>().call(x, added, weight, bias, eps, dtype);
  return {std::move(sum), std::move(normed)};
}

at::Tensor LayerNorm::twin(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps, at::ScalarType dtype) {
  return plain_norm(x, weight, bias, eps, dtype);
}

at::Tensor LayerNorm::cpu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                          double eps, at::ScalarType dtype) {
  if (!has_kernel(x, weight, bias, eps, dtype)) return twin(x, weight, bias, eps, dtype);
  return with_job(x, weight, bias, eps, dtype, OnThreads());
}

at::Tensor LayerNorm::autograd_cpu(const at::Tensor& x, const at::Tensor& weight,
                                   const at::Tensor& bias, double eps, at::ScalarType dtype) {
  if (!has_kernel(x, weight, bias, eps, dtype)) return twin(x, weight, bias, eps, dtype);
  if (records(x, weight, bias)) return RecordedNorm::apply(x, weight, bias, eps, dtype);
  const at::AutoDispatchBelowADInplaceOrView below;
  return dispatched<LayerNorm>().call(x, weight, bias, eps, dtype);
}

AddLayerNorm::Result AddLayerNorm::twin(const at::Tensor& x, const at::Tensor& added,
                                        const at::Tensor& weight, const at::Tensor& bias,
                                        double eps, at::ScalarType dtype) {
  at::Tensor sum = x + added;
  at::Tensor y = plain_norm(sum, weight, bias, eps, dtype);
  return {std::move(sum), std::move(y)};
}

AddLayerNorm::Result AddLayerNorm::cpu(const at::Tensor& x, const at::Tensor& added,
                                       const at::Tensor& weight, const at::Tensor& bias, double eps,
                                       at::ScalarType dtype) {
  if (!has_kernel(x, added, weight, bias, eps, dtype)) {
    return twin(x, added, weight, bias, eps, dtype);
  }
  return with_job(x, added, weight, bias, eps, dtype, OnThreads());
}

AddLayerNorm::Result AddLayerNorm::autograd_cpu(const at::Tensor& x, const at::Tensor& added,
                                                const at::Tensor& weight, const at::Tensor& bias,
                                                double eps, at::ScalarType dtype) {
  if (!has_kernel(x, added, weight, bias, eps, dtype)) {
    return twin(x, added, weight, bias, eps, dtype);
  }
  if (records(x, added, weight, bias)) {
    variable_list both = RecordedSum::apply(x, added, weight, bias, eps, dtype);
    return {std::move(both[0]), std::move(both[1])};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return dispatched<AddLayerNorm>().call(x, added, weight, bias, eps, dtype);
}

LayerNormGradient::Result LayerNormGradient::twin(const at::Tensor& dy, const at::Tensor& x,
                                                  const at::Tensor& weight,
                                                  const std::optional<at::Tensor>& d_sum,
                                                  double eps) {
  // With u the normed row before weight and bias, and g = dy weight:
  //
  //     dx = scale (g - mean(g) - u mean(g u))    d_weight = sum of dy u    d_bias = sum of dy
  //
  // The two means are what the derivatives of mean and variance take away: neither shifting nor
  // scaling a row changes its norm.
  const at::ScalarType type = accumulate_type(x);
  const auto [unit, scale] = unit_rows(x, eps);
  const at::Tensor of_y = dy.to(type), g = of_y * weight.to(type);
  at::Tensor dx = scale * (g - at::mean(g, -1, /*keepdim=*/true) -
                           unit * at::mean(g * unit, -1, /*keepdim=*/true));
  if (d_sum) dx = dx + d_sum->to(type);
  const auto over_rows = [&](const at::Tensor& t) {
    return t.reshape({-1, x.size(-1)}).sum(0).to(weight.scalar_type());
  };
  return {dx.to(x.scalar_type()), over_rows(of_y * unit), over_rows(of_y)};
}

LayerNormGradient::Result LayerNormGradient::cpu(const at::Tensor& dy, const at::Tensor& x,
                                                 const at::Tensor& weight,
                                                 const std::optional<at::Tensor>& d_sum,
                                                 double eps) {
  if (!has_kernel(dy, x, weight, d_sum, eps)) return twin(dy, x, weight, d_sum, eps);
  return with_job(dy, x, weight, d_sum, eps, OnThreads());
}

namespace {

constexpr double kEps = 1e-5;

// One of the table: what it reads and writes per row and number is told by `tensors`.
template <class Make>
std::vector<OperationCase> norm_cases(const char* name, double tensors, const Make& make) {
  struct Types {
    at::ScalarType x, y;
  };
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t cols, const Types& types, bool timed) {
    const auto numbers = static_cast<double>(rows * cols);
    cases.push_back(
        {.operation = name,
         .shape = std::to_string(rows) + " x " + std::to_string(cols) +
                  (types.x != types.y ? std::string(" to ") + c10::toString(types.y) : ""),
         .dtype = types.y == at::kBFloat16 ? types.y : types.x,
         // A rounding to bf16 may fall on the other side.
         .tolerance = types.y == at::kBFloat16 ? 2e-3
                      : types.x == at::kFloat  ? 2e-6
                                               : 1e-14,
         .bytes = tensors * numbers * static_cast<double>(c10::elementSize(types.x)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           return make(std::vector<int64_t>{rows, cols}, device, types.x, types.y);
         }});
  };
  const Types wide{at::kFloat, at::kFloat}, exact{at::kDouble, at::kDouble},
      narrowing{at::kFloat, at::kBFloat16}, narrow{at::kBFloat16, at::kBFloat16};
  for (const Types& types : {wide, exact, narrowing, narrow}) {
    for (const auto& [rows, cols] :
         {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {1, 40}, {70, 8}, {7, 203}, {130, 64}}) {
      add(rows, cols, types, /*timed=*/false);
    }
  }
  for (const Types& types : {wide, narrowing}) {
    add(2048, 512, types, /*timed=*/true);
    add(8192, 4096, types, /*timed=*/true);
  }
  return cases;
}

at::Tensor made(const char* name, const std::vector<int64_t>& shape, at::Device device,
                at::ScalarType dtype) {
  return made_numbers(name, shape).to(device, dtype);
}

at::Tensor made_vector(const char* name, const std::vector<int64_t>& shape, at::Device device,
                       at::ScalarType x) {
  return made(name, {shape.back()}, device, x == at::kDouble ? at::kDouble : at::kFloat);
}

}  // namespace

std::vector<OperationCase> LayerNorm::cases() {
  return norm_cases(
      kName, 2,
      [](const std::vector<int64_t>& shape, at::Device device, at::ScalarType x, at::ScalarType y) {
        return torch::jit::Stack{made("x", shape, device, x),
                                 made_vector("weight", shape, device, x),
                                 made_vector("bias", shape, device, x), kEps, y};
      });
}

std::vector<OperationCase> AddLayerNorm::cases() {
  return norm_cases(
      kName, 4,
      [](const std::vector<int64_t>& shape, at::Device device, at::ScalarType x, at::ScalarType y) {
        return torch::jit::Stack{made("x", shape, device, x),
                                 made("added", shape, device, x),
                                 made_vector("weight", shape, device, x),
                                 made_vector("bias", shape, device, x),
                                 kEps,
                                 y};
      });
}

std::vector<OperationCase> LayerNormGradient::cases() {
  return norm_cases(
      kName, 4,
      [](const std::vector<int64_t>& shape, at::Device device, at::ScalarType x, at::ScalarType y) {
        const bool with_sum = shape[0] != 7;
        return torch::jit::Stack{
            made("dy", shape, device, y), made("x", shape, device, x),
            made_vector("weight", shape, device, x),
            with_sum ? c10::IValue(made("d_sum", shape, device, x)) : c10::IValue(), kEps};
      });
}

}  // namespace littlebit
