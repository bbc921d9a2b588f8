// The KL term in chunks of rows: logits of both models, and what one operation makes of them.
#include "littlebit/distill/kl_divergence.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "littlebit/ops/kl_rows.h"

namespace littlebit {

int64_t head_rows(int64_t vocabulary) {
  // 2^24 logits are 64 MiB of fp32. Every chunk goes over the whole head once, hence at least 64
  // rows.
  return std::clamp<int64_t>((int64_t{1} << 24) / vocabulary, 64, 1024);
}

at::Tensor kl_divergence(const Decoder& teacher, const Decoder& student,
                         const at::Tensor& z_teacher, const at::Tensor& z_student, double scale,
                         const at::Tensor& dz) {
  c10::NoGradGuard no_grad;
  const auto logits = [](const Decoder& decoder, const at::Tensor& z) {
    // fp32 sums, unrounded: the divergence is made of small differences between logits.
    return decoder.head().linear->forward_unrounded(z.to(decoder.compute_dtype()));
  };
  const int64_t chunk = head_rows(student.spec().vocab_size);
  at::Tensor sum = at::zeros({}, z_student.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < z_student.size(0); begin += chunk) {
    const int64_t rows = std::min(chunk, z_student.size(0) - begin);
    const at::Tensor of_student = logits(student, z_student.narrow(0, begin, rows));
    sum.add_(divergences_of_rows(logits(teacher, z_teacher.narrow(0, begin, rows)), of_student,
                                 student.spec().logit_softcap, scale, dz.defined())
                 .sum());
    if (!dz.defined()) continue;
    const at::Tensor d_student = of_student.to(student.compute_dtype());
    // dz += dlogits W_head. The head itself is frozen and gets no gradient.
    dz.narrow(0, begin, rows).add_(student.head().linear->input_gradient(d_student));
  }
  return sum;
}

}  // namespace littlebit
