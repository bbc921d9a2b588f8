// The second pass of an update: AdamW on a group's latents, and their new sign bits. No gradients
// of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "littlebit/kernels/latent_update.h"
#include "littlebit/ops/elements.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// AdamW's moments of n latents, a multiple of kMomentBlock (kernels/moment_codes.h).
struct LatentMoments {
  // [n]: both of the latents' type, of bf16, or codes of 8 bits (at::kByte)
  at::Tensor exp_avg, exp_avg_sq;
  // fp32 [n / kMomentBlock]: of the codes; else [0]
  at::Tensor average_scales, root_scales;

  LatentMoments narrow(int64_t begin, int64_t count) const;  // multiples of kMomentBlock
};

struct LatentStep {
  double rate = 0, beta1 = 0, beta2 = 0, epsilon = 0, weight_decay = 0;
  int64_t step = 1;              // counted from 1
  int64_t group = 0, first = 0;  // where the first latent stands: random numbers go by that
};

// latents (fp32 or fp64, flat) and moments by one step on `clip` (of the latents' type,
// 0-dimensional) times the gradients, which stay; words (int32) their signs, how many changed added
// to `flips` (int64, one element). Where clip is not finite nothing changes. All on one device,
// for which nothing waits.
void update_latents(const at::Tensor& gradients, const at::Tensor& latents,
                    const LatentMoments& moments, const at::Tensor& words, const at::Tensor& flips,
                    const at::Tensor& clip, const LatentStep& by);

// The operation itself (src/ops/operation.h).
struct UpdateLatents {
  static constexpr char kName[] = "littlebit::update_latents";
  static constexpr char kArguments[] =
      "(Tensor gradients, Tensor(a!) latents, Tensor(b!) exp_avg, Tensor(c!) exp_avg_sq, "
      "Tensor(d!) average_scales, Tensor(e!) root_scales, Tensor(f!) words, Tensor(g!) flips, "
      "Tensor clip, float rate, float beta1, float beta2, float epsilon, float weight_decay, "
      "int step, int group, int first) -> ()";
  static constexpr bool kTwinDifferentiates = false;
  static constexpr bool kHasCudaKernel = true;
  static void twin(const at::Tensor& gradients, const at::Tensor& latents,
                   const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                   const at::Tensor& average_scales, const at::Tensor& root_scales,
                   const at::Tensor& words, const at::Tensor& flips, const at::Tensor& clip,
                   double rate, double beta1, double beta2, double epsilon, double weight_decay,
                   int64_t step, int64_t group, int64_t first);
  static void cpu(const at::Tensor& gradients, const at::Tensor& latents, const at::Tensor& exp_avg,
                  const at::Tensor& exp_avg_sq, const at::Tensor& average_scales,
                  const at::Tensor& root_scales, const at::Tensor& words, const at::Tensor& flips,
                  const at::Tensor& clip, double rate, double beta1, double beta2, double epsilon,
                  double weight_decay, int64_t step, int64_t group, int64_t first);
  // By the latents, `gradients` and `clip`; the moments' type is any of the three.
  template <class... Rest>
  static bool has_kernel(const at::Tensor& gradients, const at::Tensor& latents,
                         const Rest&... /*rest*/) {
    return gradients.scalar_type() == at::kFloat && latents.scalar_type() == at::kFloat;
  }
  template <class Run>
  static void with_job(const at::Tensor& gradients, const at::Tensor& latents,
                       const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                       const at::Tensor& average_scales, const at::Tensor& root_scales,
                       const at::Tensor& words, const at::Tensor& flips, const at::Tensor& clip,
                       double rate, double beta1, double beta2, double epsilon, double weight_decay,
                       int64_t step, int64_t group, int64_t first, const Run& run);
  static std::vector<OperationCase> cases();
};

// Shared with the twin, which computes in the latents' type. The CUDA library has them from here.
inline AdamWNumbers adamw_numbers(const LatentStep& by) {
  const double step = static_cast<double>(by.step);
  return {.keep = static_cast<float>(1 - by.rate * by.weight_decay),
          .beta2 = static_cast<float>(by.beta2),
          .fresh1 = static_cast<float>(1 - by.beta1),
          .fresh2 = static_cast<float>(1 - by.beta2),
          .step_size = static_cast<float>(by.rate / (1 - std::pow(by.beta1, step))),
          .root_divisor = static_cast<float>(std::sqrt(1 - std::pow(by.beta2, step))),
          .epsilon = static_cast<float>(by.epsilon)};
}

inline void check_update(const at::Tensor& gradients, const at::Tensor& latents,
                         const LatentMoments& moments, const at::Tensor& words,
                         const at::Tensor& clip, int64_t first) {
  const int64_t count = latents.numel();
  const auto is_flat = [&](const at::Tensor& tensor, int64_t size) {
    return tensor.is_contiguous() && tensor.numel() == size;
  };
  const at::ScalarType type = moments.exp_avg.scalar_type();
  const int64_t scales = type == at::kByte ? count / kMomentBlock : 0;
  TORCH_CHECK(count % kMomentBlock == 0 && first % kMomentBlock == 0 && is_flat(latents, count) &&
                  is_flat(gradients, count) && is_flat(words, count / 32) && clip.numel() == 1 &&
                  clip.scalar_type() == latents.scalar_type(),
              "whole blocks of latents, with a gradient each");
  TORCH_CHECK(is_flat(moments.exp_avg, count) && is_flat(moments.exp_avg_sq, count) &&
                  is_flat(moments.average_scales, scales) && is_flat(moments.root_scales, scales) &&
                  moments.exp_avg_sq.scalar_type() == type &&
                  (type == latents.scalar_type() || type == at::kBFloat16 || type == at::kByte),
              "two moments of each latent, with scales where they are codes");
}

template <class Run>
void UpdateLatents::with_job(const at::Tensor& gradients, const at::Tensor& latents,
                             const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq,
                             const at::Tensor& average_scales, const at::Tensor& root_scales,
                             const at::Tensor& words, const at::Tensor& flips,
                             const at::Tensor& clip, double rate, double beta1, double beta2,
                             double epsilon, double weight_decay, int64_t step, int64_t group,
                             int64_t first, const Run& run) {
  check_update(gradients, latents, {exp_avg, exp_avg_sq, average_scales, root_scales}, words, clip,
               first);
  const AdamWNumbers numbers = adamw_numbers({rate, beta1, beta2, epsilon, weight_decay, step});
  const auto job = [&]<class Moment>(Moment /*element*/) {
    run(LatentUpdateJob<Moment>{
        .gradients = elements<float>(gradients),
        .latents = mutable_elements<float>(latents),
        .exp_avg = mutable_elements<Moment>(exp_avg),
        .exp_avg_sq = mutable_elements<Moment>(exp_avg_sq),
        .average_scales = mutable_elements<float>(average_scales),
        .root_scales = mutable_elements<float>(root_scales),
        .words = mutable_elements<uint32_t>(words),
        .flips = mutable_elements<int64_t>(flips),
        .clip = elements<float>(clip),
        .blocks = latents.numel() / kMomentBlock,
        .first_block = static_cast<uint64_t>(first / kMomentBlock),
        .random = {static_cast<uint32_t>(step), static_cast<uint32_t>(group)},
        .numbers = numbers});
  };
  switch (exp_avg.scalar_type()) {
    case at::kByte:
      return job(uint8_t());
    case at::kBFloat16:
      return job(uint16_t());
    default:
      return job(float());
  }
}

}  // namespace littlebit
