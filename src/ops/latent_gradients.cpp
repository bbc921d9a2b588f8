// Gradients of signs become gradients of latents, in place, and their share of the squared norm is
// summed while they are in the cache: clipping needs the norm of all groups before the second pass
// (update_latents.h) may begin. Parts have a fixed size, so that the sum does not depend on the
// number of threads.
#include "littlebit/ops/latent_gradients.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tanh.h>

#include "ops/made_numbers.h"
#include "ops/operation.h"

namespace littlebit {

at::Tensor latent_gradients(const at::Tensor& gradients, const at::Tensor& latents, bool smooth) {
  return dispatched<LatentGradients>().call(gradients, latents, smooth);
}

at::Tensor LatentGradients::twin(const at::Tensor& gradients, const at::Tensor& latents,
                                 bool smooth) {
  if (smooth) {  // the derivative of tanh(100 x); else of x clipped to -1 .. 1
    const at::Tensor t = at::tanh(latents * 100);
    // Far from zero tanh rounds to 1 and the derivative to exactly 0, so that AdamW sees no
    // gradient at all there.
    gradients.mul_((1 - t * t) * 100);
  } else {
    gradients.mul_(latents.abs().lt(1).to(latents.scalar_type()));
  }
  return at::linalg_vector_norm(gradients, 2, {}, /*keepdim=*/false, at::kDouble).square_();
}

at::Tensor LatentGradients::cpu(const at::Tensor& gradients, const at::Tensor& latents,
                                bool smooth) {
  if (!has_kernel(gradients, latents, smooth)) return twin(gradients, latents, smooth);
  // Each part writes its own sum in fp64; with_job adds these up.
  return with_job(gradients, latents, smooth, [](const LatentGradientJob& job) {
    at::parallel_for(0, job.parts(), 1,
                     [&](int64_t begin, int64_t end) { make_latent_gradients(job, begin, end); });
  });
}

std::vector<OperationCase> LatentGradients::cases() {
  std::vector<OperationCase> cases;
  const auto add = [&](int64_t count, at::ScalarType dtype, bool smooth, bool timed) {
    cases.push_back(
        {.operation = kName,
         .shape = std::to_string(count) + (smooth ? ", smooth" : ", ste"),
         .dtype = dtype,
         // A tanh of 2 units in the last place, where 1 - tanh^2 takes most of them away.
         .tolerance = dtype == at::kFloat ? 1e-5 : 1e-14,
         .bytes = static_cast<double>(count) * 3 * static_cast<double>(c10::elementSize(dtype)),
         .timed = timed,
         .arguments = [=](at::Device device) {
           const auto made = [&](const char* name, double size) {
             return made_numbers(name, {count}).mul(size).to(device, dtype);
           };
           return torch::jit::Stack{made("gradients", 1), made("latents", smooth ? 0.01 : 1),
                                    smooth};
         }});
  };
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    for (const bool smooth : {true, false}) {
      for (const int64_t count : {0, 1, 203, 3 * (1 << 14) - 7}) {
        add(count, dtype, smooth, /*timed=*/false);
      }
    }
  }
  for (const bool smooth : {true, false}) add(1 << 24, at::kFloat, smooth, /*timed=*/true);
  return cases;
}

}  // namespace littlebit
