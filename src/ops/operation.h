// How a file of this room calls its operation. An operation is a struct with
//   kName, kArguments   its name in the dispatcher, and what follows it in the schema
//   twin                plain ATen, for every device
//   cpu, cuda           faster forms (optional)
//   kHasCudaKernel      whether the folder cuda/ has one in cuda/<operation>.cu: it runs the jobs
//   of with_job            with_job(arguments of the twin..., run), which turns tensors into one or
//                       more jobs of kernels (pointers and sizes: kernels/<operation>.h), calls
//                       run(job) for each, and returns the results; the CPU's form may use it, too
//   has_kernel          has_kernel(arguments of the twin...): whether there are kernels for their
//   types;
//                       where not, the twin runs (optional: always)
//   kTwinDifferentiates whether ATen may record the twin where gradients are asked for; where not,
//                       the operation refuses inputs that require one
//   autograd_cpu        records it by itself on the CPU (optional, where the twin differentiates);
//                       with kHasCudaKernel on CUDA, too: it calls the dispatcher below autograd
//   autograd_cuda       the same on CUDA, where another form does it
//   cases()             its part of the table (ops/operation_case.h)
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>

namespace littlebit {

// Throws c10::Error before register_ops(). Looked up once.
template <class Operation>
const auto& dispatched() {
  static const auto found = c10::Dispatcher::singleton()
                                .findSchemaOrThrow(Operation::kName, "")
                                .template typed<decltype(Operation::twin)>();
  return found;
}

inline std::optional<at::Tensor> optional_tensor(const at::Tensor& tensor) {
  return tensor.defined() ? std::optional(tensor) : std::nullopt;
}

// What sums run over.
inline at::ScalarType accumulate_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

// Whether an operation on these is to be recorded.
template <class... Inputs>
bool records(const Inputs&... inputs) {
  return c10::GradMode::is_enabled() && (inputs.requires_grad() || ...);
}

}  // namespace littlebit
