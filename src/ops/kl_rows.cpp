// KL(teacher || student) of rows of logits and its gradient at the student's logits, in one pass.
// The gradient has a closed form, softmax(student) - softmax(teacher) through the soft cap, so no
// graph over [rows, vocabulary] is recorded, and a row is read while it is in the cache.
#include "littlebit/ops/kl_rows.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tanh.h>

#include <algorithm>

#include "ops/made_numbers.h"
#include "ops/operation.h"
#include "ops/rows.h"

namespace littlebit {

at::Tensor divergences_of_rows(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                               double scale, bool with_gradient) {
  return dispatched<KlRows>().call(teacher, student, softcap, scale, with_gradient);
}

at::Tensor KlRows::twin(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                        double scale, bool with_gradient) {
  // z = cap tanh(x / cap), with dz/dx = 1 - (z / cap)^2, by which the gradient passes through the
  // cap.
  const auto capped = [softcap](const at::Tensor& x) {
    return softcap > 0 ? at::tanh(x / softcap) * softcap : x;
  };
  const at::Tensor z = capped(student);
  const at::Tensor log_p = at::log_softmax(capped(teacher), -1), log_q = at::log_softmax(z, -1);
  const at::Tensor p = log_p.exp();
  // A row's terms have both signs and nearly cancel: fp64 keeps what is left of them.
  at::Tensor losses = ((log_p - log_q) * p).sum(-1, /*keepdim=*/false, at::kDouble);
  if (!with_gradient) return losses;
  // d KL / d z = q - p: the teacher's entropy is a constant, and the rest is a cross-entropy.
  at::Tensor d = log_q.exp() - p;
  if (softcap > 0) d = d * (1 - (z / softcap).square());
  student.copy_(d * scale);
  return losses;
}

at::Tensor KlRows::cpu(const at::Tensor& teacher, const at::Tensor& student, double softcap,
                       double scale, bool with_gradient) {
  if (!has_kernel(teacher, student, softcap, scale, with_gradient)) {
    return twin(teacher, student, softcap, scale, with_gradient);
  }
  return with_job(teacher, student, softcap, scale, with_gradient, [](const KlRowsJob& job) {
    // Rows are independent: any division among threads gives the same numbers.
    constexpr int64_t kGrain = 1 << 13;  // logits worth a thread of their own
    const int64_t grain = rows_per_thread(job.cols, kGrain);
    at::parallel_for(0, job.rows, grain,
                     [&](int64_t begin, int64_t end) { kl_rows(job, begin, end); });
  });
}

std::vector<OperationCase> KlRows::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t rows, int64_t cols, at::ScalarType dtype, double softcap,
                       bool with_gradient, bool timed) {
    const auto numbers = static_cast<double>(rows * cols);
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(rows) + " x " + std::to_string(cols) +
                  (softcap > 0 ? ", soft cap" : "") + (with_gradient ? ", gradient" : ""),
         .dtype = dtype,
         // The losses of the twin are sums of rounded logarithms.
         .tolerance = dtype == at::kFloat ? 3e-6 : 1e-12,
         .bytes = numbers * (with_gradient ? 3 : 2) * static_cast<double>(c10::elementSize(dtype)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           const auto logits = [&](const char* name) {
             return made_numbers(name, {rows, cols}).mul(2).to(device, dtype);
           };
           return torch::jit::Stack{logits("teacher"), logits("student"), softcap, 0.5,
                                    with_gradient};
         }});
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    for (const double softcap : {0.0, 3.0}) {
      for (const bool with_gradient : {false, true}) {
        add(0, 8, dtype, softcap, with_gradient, /*timed=*/false);
        add(1, 2, dtype, softcap, with_gradient, /*timed=*/false);
        add(9, 203, dtype, softcap, with_gradient, /*timed=*/false);
        add(3, 3001, dtype, softcap, with_gradient, /*timed=*/false);
      }
    }
  }
  for (const double softcap : {0.0, 30.0}) {
    add(1024, 4096, at::kFloat, softcap, /*with_gradient=*/true, /*timed=*/true);
    add(128, 128256, at::kFloat, softcap, /*with_gradient=*/true, /*timed=*/true);
  }
  return cases;
}

}  // namespace littlebit
