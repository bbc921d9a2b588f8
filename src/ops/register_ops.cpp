// The one file that defines the namespace `littlebit`, and the only one of this room that sees
// torch/library.h. An operation with a kernel for the CPU and none for autograd would silently give
// results without gradients: so each of them either records itself or refuses.
#include "littlebit/ops/register_ops.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include <algorithm>

#include "littlebit/core/error.h"
#include "littlebit/ops/operations.h"
#include "ops/operation.h"

namespace littlebit {
namespace {

bool requires_gradient(const at::Tensor& tensor) { return tensor.requires_grad(); }
bool requires_gradient(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->requires_grad();
}
bool requires_gradient(at::TensorList tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const at::Tensor& tensor) { return tensor.requires_grad(); });
}
template <class Other>
bool requires_gradient(const Other& /*no tensor*/) {
  return false;
}

// What stands at the key Autograd where an operation has no derivative: refuses inputs that want
// one, and passes all others on to the form of their device.
template <class Operation, class Signature = decltype(Operation::twin)>
struct Refusing;

template <class Operation, class Result, class... Arguments>
struct Refusing<Operation, Result(Arguments...)> {
  static Result call(c10::DispatchKeySet keys, Arguments... arguments) {
    LB_ASSERT(!c10::GradMode::is_enabled() || !(requires_gradient(arguments) || ...),
              std::string(Operation::kName) + " has no gradient");
    const at::AutoDispatchBelowADInplaceOrView below;
    return dispatched<Operation>().redispatch(keys & c10::after_ADInplaceOrView_keyset,
                                              arguments...);
  }
};

template <class Operation>
void define(torch::Library& library) {
  const std::string name = Operation::kName;
  const std::string inner = name.substr(name.rfind(':') + 1);
  const auto add = [&](c10::DispatchKey key, auto* function) {
    library.impl(inner.c_str(), torch::dispatch(key, function));
  };
  library.def((inner + Operation::kArguments).c_str());
  // For every device that has no form of its own.
  add(c10::DispatchKey::CompositeExplicitAutograd, &Operation::twin);
  if constexpr (requires { Operation::cpu; }) add(c10::DispatchKey::CPU, &Operation::cpu);
  if constexpr (requires { Operation::cuda; }) add(c10::DispatchKey::CUDA, &Operation::cuda);
  if constexpr (requires { Operation::autograd_cpu; }) {
    add(c10::DispatchKey::AutogradCPU, &Operation::autograd_cpu);
  }
  if constexpr (requires { Operation::autograd_cuda; }) {
    add(c10::DispatchKey::AutogradCUDA, &Operation::autograd_cuda);
  } else if constexpr (requires {
                         Operation::autograd_cpu;
                         Operation::kHasCudaKernel;
                       }) {
    add(c10::DispatchKey::AutogradCUDA, &Operation::autograd_cpu);
  }
  // For all other devices. A twin that is registered here runs with autograd on, so ATen records
  // its steps.
  if constexpr (Operation::kTwinDifferentiates) {
    add(c10::DispatchKey::Autograd, &Operation::twin);
  } else {
    add(c10::DispatchKey::Autograd, &Refusing<Operation>::call);
  }
}

template <class... Each>
torch::Library* define_all(OperationList<Each...> /*all*/) {
  auto* library = new torch::Library(torch::Library::DEF, "littlebit", std::nullopt, __FILE__,
                                     static_cast<uint32_t>(__LINE__));
  (define<Each>(*library), ...);
  return library;
}

}  // namespace

void register_ops() {
  // Never destroyed: at a program's end others may still hold handles.
  static const torch::Library* const library = define_all(AllOperations());
  (void)library;
}

}  // namespace littlebit
