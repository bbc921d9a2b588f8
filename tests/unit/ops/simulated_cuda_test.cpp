// The operations' forms for CUDA as cuda/register.cpp registers them, on the simulated CUDA: what
// the dispatcher calls, from tensors to the launch and its grid, against the twin.
#include <ATen/core/dispatch/Dispatcher.h>

#include <catch2/catch.hpp>
#include <set>

#include "../../../cuda/register.h"
#include "cudasim/launch.h"
#include "littlebit/device/cuda.h"
#include "littlebit/ops/operation_case.h"

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
