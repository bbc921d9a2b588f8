// Rotary embedding of q and k in one pass over the heads, as they lie behind the projections (the
// last two dimensions may be those of a transposed view): ATen would need several passes. A
// rotation's derivative is the rotation back, so the backward pass is this operation once more, and
// of the forward pass nothing but the tables is kept.
#include "littlebit/ops/rotary.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addcmul.h>
#include <ATen/ops/cat.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class RecordedRotation : public torch::autograd::Function<RecordedRotation> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& cos,
                            const at::Tensor& sin, bool back) {
    const at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({cos, sin});
    context->saved_data["back"] = back;
    return Rotary::call(x, cos, sin, back);
  }
  // By the operation itself, so that this can be recorded, too.
  static variable_list backward(AutogradContext* context, const variable_list& dy) {
    const variable_list saved = context->get_saved_variables();
    return {
        Rotary::call(dy[0], saved[0], saved[1], !context->saved_data["back"].toBool()), {}, {}, {}};
  }
};

}  // namespace

at::Tensor Rotary::call(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                        bool back) {
  return dispatched<Rotary>().call(x, cos, sin, back);
}

at::Tensor Rotary::twin(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                        bool back) {
  // Number i is paired with number i + half, as Hugging Face's rotate_half pairs them, and each
  // pair is turned by its position's angle. Numbers beyond 2 half are left alone (partial rotary).
  const int64_t half = cos.size(-1), size = x.size(-1);
  const at::ScalarType type = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const double direction = back ? -1 : 1;
  const at::Tensor first = x.narrow(-1, 0, half).to(type);
  const at::Tensor second = x.narrow(-1, half, half).to(type);
  std::vector<at::Tensor> parts = {at::addcmul(first * cos, second, sin, -direction),
                                   at::addcmul(second * cos, first, sin, direction)};
  if (2 * half < size) parts.push_back(x.narrow(-1, 2 * half, size - 2 * half).to(type));
  return at::cat(parts, -1).to(x.scalar_type());
}

at::Tensor Rotary::cpu(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                       bool back) {
  if (!has_kernel(x, cos, sin, back)) return twin(x, cos, sin, back);
  return with_job(x, cos, sin, back, [](const auto& job) {
    // A row is one position of one head.
    constexpr int64_t kGrain = 1 << 14;  // numbers worth a thread of their own
    at::parallel_for(0, job.rows(), rows_per_thread(job.size, kGrain),
                     [&](int64_t begin, int64_t end) { rotate_rows(job, begin, end); });
  });
}

at::Tensor Rotary::autograd_cpu(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin,
                                bool back) {
  if (!has_kernel(x, cos, sin, back)) return twin(x, cos, sin, back);
  if (c10::GradMode::is_enabled() && x.requires_grad()) {
    return RecordedRotation::apply(x, cos, sin, back);
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  return call(x, cos, sin, back);
}

std::vector<OperationCase> Rotary::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](std::vector<int64_t> shape, int64_t half, at::ScalarType dtype,
                       bool by_positions, bool back, bool timed) {
    double numbers = 1;
    std::string text;
    for (const int64_t size : shape) {
      numbers *= static_cast<double>(size);
      text += (text.empty() ? "" : " x ") + std::to_string(size);
    }
    cases.push_back(
        {.operation = kName,
         .shape = text + ", " + std::to_string(2 * half) + " turned" +
                  (by_positions ? ", by positions" : "") + (back ? ", back" : ""),
         .dtype = dtype,
         .tolerance = dtype == at::kBFloat16 ? 1e-3
                      : dtype == at::kFloat  ? 1e-6
                                             : 1e-14,
         .bytes = 2 * numbers * static_cast<double>(c10::elementSize(dtype)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           const at::ScalarType wide = dtype == at::kDouble ? at::kDouble : at::kFloat;
           const at::Tensor x =
               by_positions
                   ? made_numbers("x", {shape[0], shape[2], shape[1], shape[3]}).transpose(1, 2)
                   : made_numbers("x", shape);
           const auto table = [&](const char* name) {
             return made_numbers(name, {shape[2], half}).to(device, wide);
           };
           return torch::jit::Stack{x.to(device, dtype), table("cos"), table("sin"), back};
         }});
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    for (const bool by_positions : {false, true}) {
      add({2, 3, 5, 16}, 8, dtype, by_positions, /*back=*/false, /*timed=*/false);
      add({2, 3, 5, 16}, 8, dtype, by_positions, /*back=*/true, /*timed=*/false);
      add({1, 2, 7, 20}, 4, dtype, by_positions, /*back=*/false, /*timed=*/false);
      add({1, 1, 1, 2}, 1, dtype, by_positions, /*back=*/false, /*timed=*/false);
      add({1, 2, 0, 8}, 4, dtype, by_positions, /*back=*/false, /*timed=*/false);
    }
    if (dtype != at::kDouble) {
      add({4, 8, 512, 64}, 32, dtype, /*by_positions=*/true, /*back=*/false, /*timed=*/true);
    }
  }
  return cases;
}

}  // namespace littlebit
