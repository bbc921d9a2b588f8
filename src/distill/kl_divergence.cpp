// The KL term in chunks of rows: logits of both models, their log-softmax, the loss and its
// gradient by closed form.
#include "littlebit/distill/kl_divergence.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace littlebit {

int64_t head_rows(int64_t vocabulary) {
  return std::clamp<int64_t>((int64_t{1} << 24) / vocabulary, 64, 1024);
}

at::Tensor kl_divergence(const Decoder& teacher, const Decoder& student,
                         const at::Tensor& z_teacher, const at::Tensor& z_student, double scale,
                         const at::Tensor& dz) {
  c10::NoGradGuard no_grad;
  const double softcap = student.spec().logit_softcap;
  const int64_t chunk = head_rows(student.spec().vocab_size);
  at::Tensor sum = at::zeros({}, z_student.options().dtype(at::kDouble));
  for (int64_t begin = 0; begin < z_student.size(0); begin += chunk) {
    const int64_t rows = std::min(chunk, z_student.size(0) - begin);
    at::Tensor logits = student.head_forward(z_student.narrow(0, begin, rows));
    const at::Tensor log_p =
        at::log_softmax(teacher.head_forward(z_teacher.narrow(0, begin, rows)), -1);
    const at::Tensor log_q = at::log_softmax(logits, -1);
    const at::Tensor p = log_p.exp();
    sum.add_(at::sum((log_p - log_q).mul_(p)));
    if (!dz.defined()) continue;
    at::Tensor d_logits = log_q.exp().sub_(p);  // d KL / d logits = q - p
    if (softcap > 0) d_logits.mul_(logits.div_(softcap).square_().neg_().add_(1));
    d_logits.mul_(scale);
    dz.narrow(0, begin, rows).add_(student.head.linear->input_gradient(d_logits));
  }
  return sum;
}

}  // namespace littlebit
