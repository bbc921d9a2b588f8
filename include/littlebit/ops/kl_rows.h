// The KL divergence of rows of logits, with its derivative in the same pass. No gradients of its
// own.
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "littlebit/kernels/kl_rows.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

struct KlRowsResult {
  at::Tensor losses;  // [rows] in fp64: the sum over p_t (log p_t - log p_s) of each
  at::Tensor
      d_student;  // [rows, cols] in fp32 (fp64): scale * its derivative; undefined: not asked
};

// teacher, student [rows, cols] in fp32 (fp64), before the soft cap: softcap > 0 makes them softcap
// * tanh(logits / softcap). One read of each logit from memory.
KlRowsResult divergences_of_rows(const at::Tensor& teacher, const at::Tensor& student,
                                 double softcap, double scale, bool with_gradient);

// The operation itself (src/ops/operation.h); without a gradient its second result is empty.
struct KlRows {
  using Result = std::tuple<at::Tensor, at::Tensor>;
  static constexpr char kName[] = "littlebit::kl_rows";
  static constexpr char kArguments[] =
      "(Tensor teacher, Tensor student, float softcap, float scale, bool with_gradient)"
      " -> (Tensor, Tensor)";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static Result twin(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                     double scale, bool with_gradient);
  static Result cpu(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                    double scale, bool with_gradient);
  static bool has_kernel(const at::Tensor& teacher, const at::Tensor& student, double /*softcap*/,
                         double /*scale*/, bool /*with_gradient*/) {
    return teacher.scalar_type() == at::kFloat && student.scalar_type() == at::kFloat;
  }
  template <class Run>
  static Result with_job(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                         double scale, bool with_gradient, const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
KlRows::Result KlRows::with_job(const at::Tensor& teacher, const at::Tensor& student,
                                double softcap, double scale, bool with_gradient, const Run& run) {
  TORCH_CHECK(teacher.dim() == 2 && teacher.sizes() == student.sizes(), "two rows of logits each");
  const at::Tensor of_p = teacher.contiguous(), of_q = student.contiguous();
  const at::Tensor losses = of_q.new_empty({of_q.size(0)}, of_q.options().dtype(at::kDouble));
  const at::Tensor d = with_gradient ? of_q.new_empty(of_q.sizes()) : of_q.new_empty({0});
  run(KlRowsJob{.teacher = elements<float>(of_p),
                .student = elements<float>(of_q),
                .loss = mutable_elements<double>(losses),
                .d_student = with_gradient ? mutable_elements<float>(d) : nullptr,
                .rows = of_q.size(0),
                .cols = of_q.size(1),
                .softcap = static_cast<float>(softcap),
                .scale = static_cast<float>(scale)});
  return {losses, d};
}

}  // namespace littlebit
