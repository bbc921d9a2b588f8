// The one table of cases of every operation: what unit tests, the tests of the simulated CUDA
// kernels, `--self-test` and `littlebit-bench` run it on.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>

#include <functional>
#include <string>
#include <vector>

namespace littlebit {

struct OperationCase {
  std::string operation;  // "littlebit::expand_signs"
  std::string shape;      // in words
  at::ScalarType dtype;   // of the numbers
  double tolerance;       // of the difference from the twin relative to it; 0: the same bits
  double flops = 0, bytes = 0;
  bool timed = false;  // large, for littlebit-bench alone
  // New arguments; the same numbers on every device.
  std::function<torch::jit::Stack(at::Device)> arguments;
};

std::vector<OperationCase> operation_cases();

// What an operation gave: its results, and the arguments that it writes to. `key` names the form of
// it; none: what the dispatcher takes.
std::vector<at::Tensor> run_operation(const OperationCase& each, at::Device device);
std::vector<at::Tensor> run_operation(const OperationCase& each, at::Device device,
                                      c10::DispatchKey key);

// The form for devices that have none of their own, on the CPU.
std::vector<at::Tensor> run_twin(const OperationCase& each);

// The operation on arguments that are made now, to be run any number of times; and its form for
// devices that have none of their own.
std::function<void()> prepare_operation(const OperationCase& each, at::Device device);
std::function<void()> prepare_twin(const OperationCase& each, at::Device device);

// ||got - want|| / ||want||, the worst of all tensors; where the norm is 0, ||got||. Numbers that
// are not finite must be the same ones.
double relative_difference(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want);

}  // namespace littlebit
