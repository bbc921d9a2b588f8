// The KL divergence of rows of logits, with its derivative in the same pass, in the place of the
// student's logits. No gradients of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "littlebit/kernels/kl_rows.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// teacher, student [rows, cols] in fp32 (fp64), before the soft cap: softcap > 0 makes them softcap
// * tanh(logits / softcap). Returns of each row the sum over p_t (log p_t - log p_s), [rows] in
// fp64. `with_gradient`: `student` becomes scale * the derivative by it. One read of each logit
// from memory.
at::Tensor divergences_of_rows(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                               double scale, bool with_gradient);

// The operation itself (src/ops/operation.h).
struct KlRows {
  static constexpr char kName[] = "littlebit::kl_rows";
  static constexpr char kArguments[] =
      "(Tensor teacher, Tensor(a!) student, float softcap, float scale, bool with_gradient)"
      " -> Tensor";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor twin(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                         double scale, bool with_gradient);
  static at::Tensor cpu(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                        double scale, bool with_gradient);
  static bool has_kernel(const at::Tensor& teacher, const at::Tensor& student, double /*softcap*/,
                         double /*scale*/, bool /*with_gradient*/) {
    return teacher.scalar_type() == at::kFloat && student.scalar_type() == at::kFloat &&
           student.is_contiguous();
  }
  template <class Run>
  static at::Tensor with_job(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                             double scale, bool with_gradient, const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
at::Tensor KlRows::with_job(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                            double scale, bool with_gradient, const Run& run) {
  TORCH_CHECK(teacher.dim() == 2 && teacher.sizes() == student.sizes(), "two rows of logits each");
  const at::Tensor of_p = teacher.contiguous();
  at::Tensor losses = student.new_empty({student.size(0)}, student.options().dtype(at::kDouble));
  run(KlRowsJob{.teacher = elements<float>(of_p),
                .student = elements<float>(student),
                .loss = mutable_elements<double>(losses),
                .d_student = with_gradient ? mutable_elements<float>(student) : nullptr,
                .rows = student.size(0),
                .cols = student.size(1),
                .softcap = static_cast<float>(softcap),
                .scale = static_cast<float>(scale)});
  return losses;
}

}  // namespace littlebit
