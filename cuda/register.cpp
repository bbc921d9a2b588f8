// The operations' forms for CUDA, given to LibTorch's dispatcher when the library is loaded: of
// each operation of the list that says it has one. The one file here that sees tensors and kernels;
// the tests compile it, too, against the simulated CUDA (tests/cudasim), for a device that exists
// in the dispatcher only.
#include "register.h"

#include <torch/library.h>

#ifndef LITTLEBIT_SIMULATE_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include "littlebit/ops/operations.h"
#include "run.h"

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

// That of a device that nobody has, and nobody registers anything for.
constexpr auto kTwin = c10::DispatchKey::PrivateUse3;

const at::Tensor* find_tensor(const at::Tensor& tensor) { return &tensor; }
const at::Tensor* find_tensor(at::TensorList tensors) {
  return tensors.empty() ? nullptr : tensors.data();
}
template <class Other>
const at::Tensor* find_tensor(const Other& /*no tensor*/) {
  return nullptr;
}

// An operation's form for CUDA: its jobs, given to the stream of its first tensor's device.
template <class Operation, class Signature = decltype(Operation::twin)>
struct OnStream;

template <class Operation, class Result, class... Arguments>
struct OnStream<Operation, Result(Arguments...)> {
  static Result call(Arguments... arguments) {
    if constexpr (requires { Operation::has_kernel(arguments...); }) {
      if (!Operation::has_kernel(arguments...)) return run_twin(arguments...);
    }
    const at::Tensor* first = nullptr;
    ((first = first != nullptr ? first : find_tensor(arguments)), ...);
    return Operation::with_job(arguments..., [&](const auto& job) {
      on_stream_of(*first, [&](cudaStream_t stream) { return run(job, stream); });
    });
  }

  static Result run_twin(Arguments... arguments) {
    static const auto operation = c10::Dispatcher::singleton()
                                      .findSchemaOrThrow(Operation::kName, "")
                                      .template typed<Result(Arguments...)>();
    return operation.redispatch(c10::DispatchKeySet(kTwin), arguments...);
  }
};

template <class Operation>
void add(torch::Library& library) {
  if constexpr (requires { Operation::kHasCudaKernel; }) {
    const std::string name = Operation::kName;
    library.impl(name.substr(name.rfind(':') + 1).c_str(), &OnStream<Operation>::call);
  }
}

template <class... Each>
void add_all(torch::Library& library, OperationList<Each...> /*all*/) {
  (add<Each>(library), ...);
}

}  // namespace

void register_operations() {
  // Never destroyed, as the library is never closed.
  static auto* const library = new torch::Library(torch::Library::IMPL, "littlebit", kKey, __FILE__,
                                                  static_cast<uint32_t>(__LINE__));
  static const bool once = [] {
    add_all(*library, AllOperations());
    return true;
  }();
  (void)once;
}

}  // namespace littlebit::cuda
