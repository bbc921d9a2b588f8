// The operations' forms for CUDA as cuda/register.cpp registers them, on the simulated CUDA: what
// the dispatcher calls, from tensors to the launch and its grid, against the twin.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <catch2/catch.hpp>
#include <functional>
#include <set>
#include <vector>

#include "../../../cuda/register.h"
#include "cudasim/launch.h"
#include "littlebit/device/cuda.h"
#include "littlebit/nn/autograd.h"
#include "littlebit/ops/gated_activation.h"
#include "littlebit/ops/layer_norm.h"
#include "littlebit/ops/operation_case.h"
#include "littlebit/ops/rms_norm.h"
#include "littlebit/ops/rotary.h"

namespace littlebit {

TEST_CASE("CUDA: every operation that has a kernel gives what its twin gives", "[cuda]") {
  cuda::register_operations();
  cuda::register_operations();
  std::set<std::string> run;
  for (const OperationCase& each : operation_cases()) {
    const auto operation =
        c10::Dispatcher::singleton().findSchemaOrThrow(each.operation.c_str(), "");
    if (each.timed || !operation.hasKernelForDispatchKey(c10::DispatchKey::PrivateUse2)) continue;
    run.insert(each.operation);
    for (const cudasim::Order order : cudasim::kOrders) {
      INFO(each.operation << ", " << each.shape << ", " << c10::toString(each.dtype) << ", order "
                          << static_cast<int>(order));
      cudasim::t_order = order;
      CHECK(relative_difference(run_operation(each, at::kCPU, c10::DispatchKey::PrivateUse2),
                                run_twin(each)) <= each.tolerance);
    }
  }
  CHECK(run.count("littlebit::expand_signs") == 1);
  CHECK(run.count("littlebit::update_signs") == 1);
}

// The simulated forms in the place of the CPU's, called so often.
int simulated_calls = 0;
void run_simulated(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  ++simulated_calls;
  operation.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::PrivateUse2), stack);
}

TEST_CASE("CUDA: where gradients are asked for kernels do the forward and the backward", "[cuda]") {
  cuda::register_operations();
  torch::Library simulated(torch::Library::IMPL, "littlebit", c10::DispatchKey::CPU, __FILE__,
                           __LINE__);
  for (const char* name :
       {"rms_norm", "add_rms_norm", "rms_norm_gradient", "layer_norm", "add_layer_norm",
        "layer_norm_gradient", "gated_activation", "gated_activation_gradient", "rotary"}) {
    simulated.impl(name, torch::CppFunction::makeFromBoxedFunction<&run_simulated>());
  }
  at::manual_seed(3);
  const auto numbers = [](std::vector<int64_t> shape) {
    return at::randn(shape).requires_grad_(true);
  };
  const at::Tensor x = numbers({5, 33}), added = numbers({5, 33}), weight = numbers({33}),
                   bias = numbers({33}), heads = numbers({1, 2, 5, 8});
  const at::Tensor cos = at::randn({5, 4}), sin = at::randn({5, 4});
  const auto as_double = [](const at::Tensor& t) {
    return t.detach().to(at::kDouble).requires_grad_(true);
  };
  const auto check = [&](const char* name, const std::vector<at::Tensor>& inputs,
                         const std::function<at::Tensor(const std::vector<at::Tensor>&)>& call) {
    INFO(name);
    simulated_calls = 0;
    const at::Tensor y = call(inputs), dy = at::randn(y.sizes());
    const std::vector<at::Tensor> got = gradients({y}, {dy}, inputs);
    CHECK(simulated_calls == 2);
    std::vector<at::Tensor> exact;
    for (const at::Tensor& input : inputs) exact.push_back(as_double(input));
    const std::vector<at::Tensor> want =
        gradients({call(exact)}, {dy.to(at::kDouble)}, exact);  // by the twin: no kernels of fp64
    for (size_t i = 0; i < inputs.size(); ++i) {
      CHECK(at::allclose(got[i].to(at::kDouble), want[i], 1e-4, 1e-5));
    }
  };
  check("rms_norm", {x, weight},
        [](const auto& in) { return rms_norm_to(in[0].scalar_type(), in[0], in[1], 1e-5, 1); });
  check("add_rms_norm", {x, added, weight}, [](const auto& in) {
    const NormedSum both = add_rms_norm_to(in[0].scalar_type(), in[0], in[1], in[2], 1e-5, 0);
    return both.sum * both.normed;
  });
  check("layer_norm", {x, weight, bias}, [](const auto& in) {
    return layer_norm_to(in[0].scalar_type(), in[0], in[1], in[2], 1e-5);
  });
  check("add_layer_norm", {x, added, weight, bias}, [](const auto& in) {
    const NormedSum both = add_layer_norm_to(in[0].scalar_type(), in[0], in[1], in[2], in[3], 1e-5);
    return both.sum * both.normed;
  });
  check("gated_activation", {x, added},
        [](const auto& in) { return gated_activation(in[0], in[1], GateKind::kSilu); });
  check("rotary", {heads}, [&](const auto& in) {
    return Rotary::call(in[0], cos.to(in[0].scalar_type()), sin.to(in[0].scalar_type()));
  });
}

TEST_CASE("CUDA: the library gives the dispatcher its forms, GPU or not", "[cuda]") {
  std::string problem;
  const CudaKernels* library = load_cuda_library(problem);
  if (library == nullptr) {
    CHECK(!problem.empty());
    return;
  }
  library->register_operations();
  library->register_operations();
  for (const char* name : {"littlebit::expand_signs", "littlebit::update_signs"}) {
    CHECK(c10::Dispatcher::singleton().findSchemaOrThrow(name, "").hasKernelForDispatchKey(
        c10::DispatchKey::CUDA));
  }
}

}  // namespace littlebit
