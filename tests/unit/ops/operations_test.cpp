// Every operation of the namespace, walked through: its forms agree with its twin, and none loses a
// gradient without a word.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "littlebit/nn/autograd.h"
#include "littlebit/ops/operation_case.h"
#include "littlebit/ops/register_ops.h"
#include "support/begin_tests.h"
#include "support/other_device.h"

namespace littlebit {
namespace {

std::set<std::string> operations() {
  std::set<std::string> names;
  for (const c10::OperatorName& each : c10::Dispatcher::singleton().getAllOpNames()) {
    if (each.name.starts_with("littlebit::")) names.insert(each.name);
  }
  return names;
}

size_t g_before_registration = 0;

struct Warnings : c10::WarningHandler {
  void process(const c10::Warning& warning) override { seen.push_back(warning.msg()); }
  std::vector<std::string> seen;
};

// What is wrong when the operation is given inputs that require gradients; "" where it refuses them
// or where every one of them gets what central differences say.
std::string gradient_fault(const OperationCase& each) {
  const c10::AutoGradMode grad(true);
  const auto operation = c10::Dispatcher::singleton().findSchemaOrThrow(each.operation.c_str(), "");
  torch::jit::Stack stack = each.arguments(at::kCPU);
  const torch::jit::Stack plain = each.arguments(at::kCPU);
  std::vector<at::Tensor> inputs;
  for (c10::IValue& argument : stack) {
    if (!argument.isTensor() || !argument.toTensor().is_floating_point()) continue;
    argument = argument.toTensor().detach().requires_grad_();
    inputs.push_back(argument.toTensor());
  }
  if (inputs.empty()) return "no input can require a gradient";
  Warnings warnings;
  const c10::WarningUtils::WarningHandlerGuard guard(&warnings);
  try {
    operation.callBoxed(stack);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return what.find("has no gradient") != std::string::npos ? "" : "fails: " + what;
  }
  if (stack.empty()) return "records nothing and does not refuse";
  std::vector<at::Tensor> results, weights;
  for (const c10::IValue& result : stack) {
    if (!result.toTensor().requires_grad()) return "a result requires no gradient";
    results.push_back(result.toTensor());
    weights.push_back(at::randn_like(results.back()));
  }
  std::vector<at::Tensor> got;
  try {
    got = gradients(results, weights, inputs);
  } catch (const std::exception& error) {
    return std::string("its backward fails: ") + error.what();
  }
  if (!warnings.seen.empty()) return "warns: " + warnings.seen[0];
  // Along one direction of all inputs at once, in fp64 by the twin.
  const c10::NoGradGuard no_grad;
  const auto along = [&](double step) {
    torch::jit::Stack moved = plain;
    at::manual_seed(4);
    for (c10::IValue& argument : moved) {
      if (!argument.isTensor() || !argument.toTensor().is_floating_point()) continue;
      const at::Tensor value = argument.toTensor().to(at::kDouble);
      argument = value + step * at::randn_like(value);
    }
    operation.callBoxed(moved);
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      sum += (moved[i].toTensor() * weights[i].to(at::kDouble)).sum().item<double>();
    }
    return sum;
  };
  double want = (along(1e-4) - along(-1e-4)) / 2e-4, sum = 0, size = 0;
  at::manual_seed(4);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!got[i].defined()) return "the gradient of input " + std::to_string(i) + " is undefined";
    const at::Tensor direction = at::randn_like(inputs[i].detach().to(at::kDouble));
    const at::Tensor part = got[i].to(at::kDouble) * direction;
    sum += part.sum().item<double>();
    size += part.norm().item<double>();
  }
  // A sum of rounded numbers, relative to their size.
  if (std::abs(sum - want) >
      (each.dtype == at::kBFloat16 ? 3e-2 : 1e-5) * (size + std::abs(want))) {
    return "its gradients are off: " + std::to_string(sum) + ", not " + std::to_string(want);
  }
  return "";
}

std::string named(const OperationCase& each) {
  return each.operation + ", " + each.shape + ", " + c10::toString(each.dtype);
}

// One that keeps every rule but that of autograd.
at::Tensor twice(const at::Tensor& x) { return x * 2; }

}  // namespace

namespace test {
void begin_tests() {
  g_before_registration = operations().size();
  register_ops();
}
}  // namespace test

TEST_CASE("no operation exists before they are registered, and each once after it") {
  CHECK(g_before_registration == 0);
  const std::set<std::string> all = operations();
  CHECK(all.size() >= 7);
  register_ops();
  CHECK(operations() == all);
  std::set<std::string> tried;
  for (const OperationCase& each : operation_cases()) {
    if (!each.timed) tried.insert(each.operation);
  }
  CHECK(tried == all);
}

TEST_CASE("on the CPU every operation gives what its twin gives") {
  for (const OperationCase& each : operation_cases()) {
    if (each.timed) continue;
    INFO(named(each));
    CHECK(relative_difference(run_operation(each, at::kCPU), run_twin(each)) <= each.tolerance);
  }
}

TEST_CASE("a device that has no form of its own takes the twin", "[device]") {
  const at::Device other = test::other_device();
  for (const OperationCase& each : operation_cases()) {
    if (each.timed || each.dtype == at::kBFloat16) continue;
    INFO(named(each));
    CHECK(relative_difference(run_operation(each, other), run_twin(each)) <= each.tolerance);
  }
}

TEST_CASE("every operation gives gradients to all inputs that require one, or refuses them") {
  for (const OperationCase& each : operation_cases()) {
    if (each.timed) continue;
    INFO(named(each));
    CHECK(gradient_fault(each).empty());
  }
}

TEST_CASE("an operation with a kernel and without autograd does not pass unseen") {
  static auto* const library =
      new torch::Library(torch::Library::DEF, "littlebit_test", std::nullopt, __FILE__, __LINE__);
  library->def("twice(Tensor x) -> Tensor");
  library->impl("twice", torch::dispatch(c10::DispatchKey::CPU, twice));
  const OperationCase trap{
      .operation = "littlebit_test::twice",
      .dtype = at::kFloat,
      .tolerance = 0,
      .arguments = [](at::Device) { return torch::jit::Stack{at::randn({3})}; }};
  CHECK(!gradient_fault(trap).empty());
}

TEST_CASE("differences between results are seen") {
  const at::Tensor a = at::tensor({1.0F, 2.0F, 2.0F}), b = at::tensor({1.0F, 2.0F, 2.3F});
  const at::Tensor nan = at::tensor({1.0F, NAN, 2.0F});
  CHECK(relative_difference({a}, {a}) == 0);
  CHECK(relative_difference({b, a}, {a, a}) == Approx(0.1));
  CHECK(relative_difference({nan}, {a}) > 1e300);
  CHECK(relative_difference({a}, {at::zeros({3})}) == Approx(3));
}

}  // namespace littlebit
