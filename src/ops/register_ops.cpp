// The one file that defines the namespace `littlebit`, and the only one of this room that sees
// torch/library.h. An operation with a kernel for the CPU and none for autograd would silently give
// results without gradients: so each of them either records itself or refuses.
#include "littlebit/ops/register_ops.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include "littlebit/core/error.h"
#include "ops/operations.h"

namespace littlebit {
namespace {

void refuse_gradients(const c10::OperatorHandle& operation, c10::DispatchKeySet keys,
                      torch::jit::Stack* stack) {
  if (c10::GradMode::is_enabled()) {
    for (const c10::IValue& each :
         torch::jit::last(*stack, operation.schema().arguments().size())) {
      LB_ASSERT(!each.isTensor() || !each.toTensor().requires_grad(),
                toString(operation.operator_name()) + " has no gradient");
    }
  }
  const at::AutoDispatchBelowADInplaceOrView below;
  operation.redispatchBoxed(keys & c10::after_ADInplaceOrView_keyset, stack);
}

template <class Operation>
void define(torch::Library& library) {
  const std::string name = Operation::kName;
  const std::string inner = name.substr(name.rfind(':') + 1);
  const auto add = [&](c10::DispatchKey key, auto* function) {
    library.impl(inner.c_str(), torch::dispatch(key, function));
  };
  library.def((inner + Operation::kArguments).c_str());
  add(c10::DispatchKey::CompositeExplicitAutograd, &Operation::twin);
  if constexpr (requires { Operation::cpu; }) add(c10::DispatchKey::CPU, &Operation::cpu);
  if constexpr (requires { Operation::cuda; }) add(c10::DispatchKey::CUDA, &Operation::cuda);
  if constexpr (requires { Operation::autograd_cpu; }) {
    add(c10::DispatchKey::AutogradCPU, &Operation::autograd_cpu);
  }
  if constexpr (Operation::kTwinDifferentiates) {
    add(c10::DispatchKey::Autograd, &Operation::twin);
  } else {
    library.impl(inner.c_str(),
                 torch::dispatch(c10::DispatchKey::Autograd,
                                 torch::CppFunction::makeFromBoxedFunction<&refuse_gradients>()));
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
