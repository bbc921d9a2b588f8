// The operations' forms for CUDA, given to LibTorch's dispatcher when the library is loaded: a line
// for each below. The one file here that sees tensors and kernels; the tests compile it, too,
// against the simulated CUDA (tests/cudasim), for a device that exists in the dispatcher only.
#include "register.h"

#include <torch/library.h>

#ifndef LITTLEBIT_SIMULATE_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include "littlebit/ops/signs.h"
#include "signs.h"

namespace littlebit::cuda {
namespace {

#ifdef LITTLEBIT_SIMULATE_CUDA
constexpr auto kKey = c10::DispatchKey::PrivateUse2;

template <class Launch>
void on_stream_of(const at::Tensor& /*tensor*/, const Launch& launch) {
  TORCH_CHECK(launch(cudaStream_t{}) == cudaSuccess, "a launch on the simulated CUDA failed");
}
#else
constexpr auto kKey = c10::DispatchKey::CUDA;

// The current stream of the tensor's device; nothing waits.
template <class Launch>
void on_stream_of(const at::Tensor& tensor, const Launch& launch) {
  const c10::cuda::CUDAGuard guard(tensor.device());
  C10_CUDA_CHECK(launch(c10::cuda::getCurrentCUDAStream()));
}
#endif

void expand_signs(const at::Tensor& out, const at::Tensor& words, int64_t first_bit,
                  const std::optional<at::Tensor>& row_scale,
                  const std::optional<at::Tensor>& column_scale) {
  with_sign_expansion(out, words, first_bit, row_scale, column_scale, [&](const auto& job) {
    on_stream_of(out, [&](cudaStream_t stream) { return expand(job, stream); });
  });
}

void update_signs(const at::Tensor& latents, const at::Tensor& words, const at::Tensor& flips) {
  const auto run = [&](const auto* values) {
    on_stream_of(latents, [&](cudaStream_t stream) {
      return pack(values, latents.numel(), reinterpret_cast<uint32_t*>(words.data_ptr<int32_t>()),
                  flips.data_ptr<int64_t>(), stream);
    });
  };
  latents.scalar_type() == at::kDouble ? run(latents.const_data_ptr<double>())
                                       : run(latents.const_data_ptr<float>());
}

}  // namespace

void register_operations() {
  // Never destroyed, as the library is never closed.
  static auto* const library = new torch::Library(torch::Library::IMPL, "littlebit", kKey, __FILE__,
                                                  static_cast<uint32_t>(__LINE__));
  static const bool once = [] {
    library->impl("expand_signs", expand_signs);
    library->impl("update_signs", update_signs);
    return true;
  }();
  (void)once;
}

}  // namespace littlebit::cuda
