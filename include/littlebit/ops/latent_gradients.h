// The first pass of an update: the surrogate's derivative, and the norm. No gradients of its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "littlebit/kernels/latent_gradients.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// gradients (fp32 or fp64, flat) become those of the latents, of the same type, in place: times
// 100 (1 - tanh(100 x)^2) where `smooth`, else times 1 where |x| < 1 and 0 where not. Returns the
// square of their norm: fp64, 0-dimensional, on their device; nothing waits for it.
at::Tensor latent_gradients(const at::Tensor& gradients, const at::Tensor& latents, bool smooth);

// The operation itself (src/ops/operation.h).
struct LatentGradients {
  static constexpr char kName[] = "littlebit::latent_gradients";
  static constexpr char kArguments[] =
      "(Tensor(a!) gradients, Tensor latents, bool smooth) -> Tensor";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static at::Tensor twin(const at::Tensor& gradients, const at::Tensor& latents, bool smooth);
  static at::Tensor cpu(const at::Tensor& gradients, const at::Tensor& latents, bool smooth);
  static bool has_kernel(const at::Tensor& gradients, const at::Tensor& latents, bool /*smooth*/) {
    return gradients.scalar_type() == at::kFloat && latents.scalar_type() == at::kFloat;
  }
  template <class Run>
  static at::Tensor with_job(const at::Tensor& gradients, const at::Tensor& latents, bool smooth,
                             const Run& run);
  static std::vector<OperationCase> cases();
};

template <class Run>
at::Tensor LatentGradients::with_job(const at::Tensor& gradients, const at::Tensor& latents,
                                     bool smooth, const Run& run) {
  TORCH_CHECK(
      gradients.is_contiguous() && latents.is_contiguous() && gradients.numel() == latents.numel(),
      "a gradient for each latent");
  LatentGradientJob job{.gradients = mutable_elements<float>(gradients),
                        .latents = elements<float>(latents),
                        .partial = nullptr,
                        .count = gradients.numel(),
                        .smooth = smooth};
  const at::Tensor partial =
      gradients.new_empty({job.parts()}, gradients.options().dtype(at::kDouble));
  job.partial = mutable_elements<double>(partial);
  run(job);
  return partial.sum();
}

}  // namespace littlebit
