// RMS norms in one pass over each row, also of a sum that is formed on the way: a block's residual
// sum is wanted by the next norm and by the residual stream, and this reads and writes it once. The
// backward pass keeps what the norm was of and no result: the row's scale is computed anew, which
// is cheaper than to store it.
#include "littlebit/ops/rms_norm.h"

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

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight, double eps, double offset,
                      at::ScalarType dtype) {
  const at::ScalarType type = accumulate_type(x);
  const at::Tensor wide = x.to(type);
  const at::Tensor y = wide * at::rsqrt(at::mean(wide * wide, -1, /*keepdim=*/true) + eps);
  const at::Tensor scale = weight.to(type);
  // An offset of 1 is Gemma's: its weights are kept as differences from 1.
  return (y * (offset != 0 ? scale + offset : scale)).to(result_type(x, dtype));
}

// One functor for both directions: with_job() makes the job, this gives its rows to threads.
struct OnThreads {
  template <class X, class Y>
  void operator()(const RmsNormJob<X, Y>& job) const {
    on_threads_by_rows(job, [&](int64_t begin, int64_t end) { rms_norm_rows(job, begin, end); });
  }
  template <class X, class Y>
  void operator()(const RmsNormGradientJob<X, Y>& job) const {
    on_threads_by_parts(job,
                        [&](int64_t begin, int64_t end) { rms_norm_gradient(job, begin, end); });
  }
};

// What the backward pass reads: what the norm was of, and the weight.
struct Saved {
  explicit Saved(AutogradContext* context)
      : x(context->get_saved_variables()[0]),
        weight(context->get_saved_variables()[1]),
        eps(context->saved_data["eps"].toDouble()),
        offset(context->saved_data["offset"].toDouble()) {}
  static void keep(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                   double eps, double offset) {
    context->save_for_backward({x, weight});
    context->saved_data["eps"] = eps;
    context->saved_data["offset"] = offset;
  }

  // By the dispatcher: the same Saved serves the CPU and CUDA.
  RmsNormGradient::Result gradients(const at::Tensor& dy, const at::Tensor& d_sum) const {
    return dispatched<RmsNormGradient>().call(dy, x, weight, optional_tensor(d_sum), eps, offset);
  }

  at::Tensor x, weight;
  double eps, offset;
};

class RecordedNorm : public torch::autograd::Function<RecordedNorm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double eps, double offset, at::ScalarType dtype) {
    const at::AutoDispatchBelowADInplaceOrView below;
    Saved::keep(context, x, weight, eps, offset);
    return dispatched<RmsNorm>().call(x, weight, eps, offset, dtype);
  }
  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const auto [dx, d_weight] = Saved(context).gradients(dy[0], {});
    return {dx, d_weight, {}, {}, {}};
  }
};

class RecordedSum : public torch::autograd::Function<RecordedSum> {
 public:
  static variable_list forward(AutogradContext* context, const at::Tensor& x,
                               const at::Tensor& added, const at::Tensor& weight, double eps,
                               double offset, at::ScalarType dtype) {
    const at::AutoDispatchBelowADInplaceOrView below;
    const auto [sum, y] = dispatched<AddRmsNorm>().call(x, added, weight, eps, offset, dtype);
    Saved::keep(context, sum, weight, eps, offset);
    context->set_materialize_grads(false);  // zeros for an unused output would cost a pass
    return {sum, y};
  }
  // The sum has two readers, the norm and the residual stream, whose gradients add up; x and added
  // share the result. Where nobody read the norm, the stream's gradient passes through.
  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    if (!dy[1].defined()) return {dy[0], dy[0], {}, {}, {}, {}};
    const auto [dx, d_weight] = Saved(context).gradients(dy[1], dy[0]);
    return {dx, dx, d_weight, {}, {}, {}};
  }
};

}  // namespace

at::Tensor rms_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& weight,
                       double eps, double offset) {
  return dispatched<RmsNorm>().call(x, weight, eps, offset, dtype);
}

NormedSum add_rms_norm_to(at::ScalarType dtype, const at::Tensor& x, const at::Tensor& added,
                          const at::Tensor& weight, double eps, double offset) {
  auto [sum, normed] = dispatched<AddRmsNorm>().call(x, added, weight, eps, offset, dtype);
  return {std::move(sum), std::move(normed)};
}

at::Tensor RmsNorm::twin(const at::Tensor& x, const at::Tensor& weight, double eps, double offset,
                         at::ScalarType dtype) {
  return plain_norm(x, weight, eps, offset, dtype);
}

at::Tensor RmsNorm::cpu(const at::Tensor& x, const at::Tensor& weight, double eps, double offset,
                        at::ScalarType dtype) {
  if (!has_kernel(x, weight, eps, offset, dtype)) return twin(x, weight, eps, offset, dtype);
  return with_job(x, weight, eps, offset, dtype, OnThreads());
}

at::Tensor RmsNorm::autograd_cpu(const at::Tensor& x, const at::Tensor& weight, double eps,
                                 double offset, at::ScalarType dtype) {
  // Without a kernel ATen records the twin, step by step.
  if (!has_kernel(x, weight, eps, offset, dtype)) return twin(x, weight, eps, offset, dtype);
  if (records(x, weight)) return RecordedNorm::apply(x, weight, eps, offset, dtype);
  const at::AutoDispatchBelowADInplaceOrView below;
  return dispatched<RmsNorm>().call(x, weight, eps, offset, dtype);
}

AddRmsNorm::Result AddRmsNorm::twin(const at::Tensor& x, const at::Tensor& added,
                                    const at::Tensor& weight, double eps, double offset,
                                    at::ScalarType dtype) {
  at::Tensor sum = x + added;
  at::Tensor y = plain_norm(sum, weight, eps, offset, dtype);
  return {std::move(sum), std::move(y)};
}

AddRmsNorm::Result AddRmsNorm::cpu(const at::Tensor& x, const at::Tensor& added,
                                   const at::Tensor& weight, double eps, double offset,
                                   at::ScalarType dtype) {
  if (!has_kernel(x, added, weight, eps, offset, dtype)) {
    return twin(x, added, weight, eps, offset, dtype);
  }
  return with_job(x, added, weight, eps, offset, dtype, OnThreads());
}

AddRmsNorm::Result AddRmsNorm::autograd_cpu(const at::Tensor& x, const at::Tensor& added,
                                            const at::Tensor& weight, double eps, double offset,
                                            at::ScalarType dtype) {
  if (!has_kernel(x, added, weight, eps, offset, dtype)) {
    return twin(x, added, weight, eps, offset, dtype);
  }
  if (records(x, added, weight)) {
    variable_list both = RecordedSum::apply(x, added, weight, eps, offset, dtype);
    return {std::move(both[0]), std::move(both[1])};
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return dispatched<AddRmsNorm>().call(x, added, weight, eps, offset, dtype);
}

RmsNormGradient::Result RmsNormGradient::twin(const at::Tensor& dy, const at::Tensor& x,
                                              const at::Tensor& weight,
                                              const std::optional<at::Tensor>& d_sum, double eps,
                                              double offset) {
  // With r = 1 / sqrt(mean(x^2) + eps), u = x r and g = dy (weight + offset):
  //
  //     dx = r (g - u mean(g u))    d_weight = sum over rows of dy u
  //
  // The second term is the derivative of r: growing x along itself changes nothing, and so the part
  // of g along u is taken out.
  const at::ScalarType type = accumulate_type(x);
  const at::Tensor wide = x.to(type), of_y = dy.to(type);
  const at::Tensor scale = at::rsqrt(at::mean(wide * wide, -1, /*keepdim=*/true) + eps);
  const at::Tensor unit = wide * scale, g = of_y * (weight.to(type) + offset);
  at::Tensor dx = scale * (g - unit * at::mean(g * unit, -1, /*keepdim=*/true));
  if (d_sum) dx = dx + d_sum->to(type);
  const at::Tensor d_weight = (of_y * unit).reshape({-1, x.size(-1)}).sum(0);
  return {dx.to(x.scalar_type()), d_weight.to(weight.scalar_type())};
}

RmsNormGradient::Result RmsNormGradient::cpu(const at::Tensor& dy, const at::Tensor& x,
                                             const at::Tensor& weight,
                                             const std::optional<at::Tensor>& d_sum, double eps,
                                             double offset) {
  if (!has_kernel(dy, x, weight, d_sum, eps, offset)) {
    return twin(dy, x, weight, d_sum, eps, offset);
  }
  return with_job(dy, x, weight, d_sum, eps, offset, OnThreads());
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
  const auto add = [&](int64_t rows, int64_t cols, const Types& types, double offset, bool timed) {
    const auto numbers = static_cast<double>(rows * cols);
    cases.push_back(
        {.operation = name,
         .shape = std::to_string(rows) + " x " + std::to_string(cols) +
                  (offset != 0 ? ", 1 + weight" : "") +
                  (types.x != types.y ? std::string(" to ") + c10::toString(types.y) : ""),
         .dtype = types.y == at::kBFloat16 ? types.y : types.x,
         // A rounding to bf16 may fall on the other side.
         .tolerance = types.y == at::kBFloat16 ? 2e-3
                      : types.x == at::kFloat  ? 1e-6
                                               : 1e-14,
         .bytes = tensors * numbers * static_cast<double>(c10::elementSize(types.x)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           return make(std::vector<int64_t>{rows, cols}, device, types.x, types.y, offset);
         }});
  };
  const Types wide{at::kFloat, at::kFloat}, exact{at::kDouble, at::kDouble},
      narrowing{at::kFloat, at::kBFloat16}, narrow{at::kBFloat16, at::kBFloat16};
  for (const Types& types : {wide, exact, narrowing, narrow}) {
    // No rows, one number, a row shorter than a vector, more rows than a part has (64), odd sizes.
    for (const auto& [rows, cols] :
         {std::pair<int64_t, int64_t>{0, 8}, {1, 1}, {1, 40}, {70, 8}, {7, 203}, {130, 64}}) {
      add(rows, cols, types, 0, /*timed=*/false);
    }
    add(65, 33, types, 1, /*timed=*/false);
  }
  for (const Types& types : {wide, narrowing}) {
    add(2048, 512, types, 0, /*timed=*/true);
    add(8192, 4096, types, 0, /*timed=*/true);
  }
  return cases;
}

at::Tensor made(const char* name, const std::vector<int64_t>& shape, at::Device device,
                at::ScalarType dtype) {
  return made_numbers(name, shape).to(device, dtype);
}

at::Tensor made_weight(const std::vector<int64_t>& shape, at::Device device, at::ScalarType x) {
  return made("weight", {shape.back()}, device, x == at::kDouble ? at::kDouble : at::kFloat);
}

}  // namespace

std::vector<OperationCase> RmsNorm::cases() {
  return norm_cases(kName, 2,
                    [](const std::vector<int64_t>& shape, at::Device device, at::ScalarType x,
                       at::ScalarType y, double offset) {
                      return torch::jit::Stack{made("x", shape, device, x),
                                               made_weight(shape, device, x), kEps, offset, y};
                    });
}

std::vector<OperationCase> AddRmsNorm::cases() {
  return norm_cases(kName, 4,
                    [](const std::vector<int64_t>& shape, at::Device device, at::ScalarType x,
                       at::ScalarType y, double offset) {
                      return torch::jit::Stack{made("x", shape, device, x),
                                               made("added", shape, device, x),
                                               made_weight(shape, device, x),
                                               kEps,
                                               offset,
                                               y};
                    });
}

std::vector<OperationCase> RmsNormGradient::cases() {
  return norm_cases(kName, 4,
                    [](const std::vector<int64_t>& shape, at::Device device, at::ScalarType x,
                       at::ScalarType y, double offset) {
                      const bool with_sum = shape[0] != 7;
                      return torch::jit::Stack{
                          made("dy", shape, device, y),
                          made("x", shape, device, x),
                          made_weight(shape, device, x),
                          with_sum ? c10::IValue(made("d_sum", shape, device, x)) : c10::IValue(),
                          kEps,
                          offset};
                    });
}

}  // namespace littlebit
