// The signs of latents as bits, in the layout of kernels/signs.h. No gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "littlebit/kernels/signs.h"
#include "littlebit/ops/operation_case.h"

namespace littlebit {

// words (int32, flat) = the signs of latents (fp32 or fp64, flat, a multiple of 32 of them). Adds
// how many changed to `flips` (int64, one element, on the same device, undefined: not counted);
// nothing waits for the device.
void update_signs(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips = {});

// The operation itself (src/ops/operation.h).
struct UpdateSigns {
  static constexpr char kName[] = "littlebit::update_signs";
  static constexpr char kArguments[] = "(Tensor latents, Tensor(a!) words, Tensor(b!) flips) -> ()";
  static constexpr bool kTwinDifferentiates = false;
  static void twin(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips);
  static void cpu(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips);
  static std::vector<OperationCase> cases();

  static constexpr bool kHasCudaKernel = true;
  template <class Run>
  static void with_job(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips,
                       const Run& run);
};

template <class Run>
void UpdateSigns::with_job(const at::Tensor& latents, const at::Tensor& words,
                           const at::Tensor& flips, const Run& run) {
  auto* const bits = reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>());
  auto* const changed = flips.data_ptr<int64_t>();
  if (latents.scalar_type() == at::kDouble) {
    run(SignPacking<double>{latents.const_data_ptr<double>(), words.numel(), bits, changed});
  } else {
    run(SignPacking<float>{latents.const_data_ptr<float>(), words.numel(), bits, changed});
  }
}

}  // namespace littlebit
