// Cases are run through the dispatcher by the operation's name, as anybody's call is: so a form
// that was registered wrongly, or not at all, fails here and not in a run. The twin is reached by a
// dispatch key that nobody registers for.
#include "littlebit/ops/operation_case.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <c10/core/GradMode.h>

#include "littlebit/core/error.h"
#include "littlebit/core/rng.h"
#include "littlebit/ops/operations.h"
#include "ops/made_numbers.h"

namespace littlebit {
namespace {

constexpr uint64_t kSeed = 17;
constexpr int64_t kGrain = 1 << 14;  // numbers worth a thread

template <class... Each>
std::vector<OperationCase> cases_of(OperationList<Each...> /*all*/) {
  std::vector<OperationCase> all;
  const auto add = [&](std::vector<OperationCase> some) {
    LB_ASSERT(!some.empty(), "an operation has cases");
    all.insert(all.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
  };
  (add(Each::cases()), ...);
  return all;
}

template <class Call>
std::vector<at::Tensor> run(const OperationCase& each, at::Device device, const Call& call) {
  const c10::NoGradGuard no_grad;
  const auto operation = c10::Dispatcher::singleton().findSchemaOrThrow(each.operation.c_str(), "");
  torch::jit::Stack stack = each.arguments(device);
  std::vector<at::Tensor> given;
  for (size_t i = 0; i < stack.size(); ++i) {
    const c10::AliasInfo* alias = operation.schema().arguments().at(i).alias_info();
    if (alias == nullptr || !alias->isWrite()) continue;
    if (stack[i].isTensorList()) {
      for (const at::Tensor& one : stack[i].toTensorVector()) given.push_back(one);
    } else {
      given.push_back(stack[i].toTensor());
    }
  }
  call(operation, stack);
  for (const c10::IValue& result : stack) given.push_back(result.toTensor());
  return given;
}

// A device that nobody has, for which nobody registers anything: what is left is the twin.
constexpr c10::DispatchKey kTwin = c10::DispatchKey::PrivateUse3;

}  // namespace

at::Tensor made_numbers(const std::string& name, const std::vector<int64_t>& shape) {
  at::Tensor values = at::empty(shape, at::TensorOptions().dtype(at::kFloat));
  const RandomStream random(kSeed, "operation/" + name);
  float* const data = values.data_ptr<float>();
  const int64_t count = values.numel(),
                fours = (count + 3) / 4;  // a stream's numbers come in fours
  at::parallel_for(0, fours, kGrain, [&](int64_t begin, int64_t end) {
    random.fill_normal(static_cast<uint64_t>(4 * begin),
                       {data + 4 * begin, data + std::min(count, 4 * end)});
  });
  // Exact in bf16: forms that compute in bf16 and in fp32 are then given the same numbers.
  return values.to(at::kBFloat16).to(at::kFloat);
}

at::Tensor made_words(const std::string& name, int64_t count) {
  const at::Tensor words = at::empty({count}, at::TensorOptions().dtype(at::kInt));
  const RandomStream random(kSeed, "operation/" + name + "/words");
  auto* const data = words.data_ptr<int32_t>();
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      data[i] = static_cast<int32_t>(random.bits(static_cast<uint64_t>(i)));
    }
  });
  return words;
}

std::vector<OperationCase> operation_cases() { return cases_of(AllOperations()); }

std::vector<at::Tensor> run_operation(const OperationCase& each, at::Device device) {
  return run(each, device, [](const auto& operation, auto& stack) { operation.callBoxed(stack); });
}

std::vector<at::Tensor> run_operation(const OperationCase& each, at::Device device,
                                      c10::DispatchKey key) {
  const at::AutoDispatchBelowADInplaceOrView below;
  return run(each, device, [key](const auto& operation, auto& stack) {
    operation.redispatchBoxed(c10::DispatchKeySet(key), &stack);
  });
}

std::vector<at::Tensor> run_twin(const OperationCase& each) {
  return run_operation(each, at::kCPU, kTwin);
}

std::function<void()> prepare_operation(const OperationCase& each, at::Device device) {
  const auto operation = c10::Dispatcher::singleton().findSchemaOrThrow(each.operation.c_str(), "");
  return [operation, arguments = each.arguments(device)] {
    const c10::NoGradGuard no_grad;
    torch::jit::Stack stack = arguments;
    operation.callBoxed(stack);
  };
}

std::function<void()> prepare_twin(const OperationCase& each, at::Device device) {
  const auto operation = c10::Dispatcher::singleton().findSchemaOrThrow(each.operation.c_str(), "");
  return [operation, arguments = each.arguments(device)] {
    const c10::NoGradGuard no_grad;
    const at::AutoDispatchBelowADInplaceOrView below;
    torch::jit::Stack stack = arguments;
    operation.redispatchBoxed(c10::DispatchKeySet(kTwin), &stack);
  };
}

double relative_difference(const std::vector<at::Tensor>& got,
                           const std::vector<at::Tensor>& want) {
  LB_ASSERT(got.size() == want.size() && !got.empty(), "results of the same operation");
  double most = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const at::Tensor a = got[i].to(at::kCPU), b = want[i].to(at::kCPU);
    LB_ASSERT(a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type(),
              "results of the same shape and type");
    if (at::equal(a, b)) continue;
    const at::Tensor exact = b.to(at::kDouble);
    const double norm = at::linalg_vector_norm(exact).item<double>();
    const double gap = at::linalg_vector_norm(a.to(at::kDouble) - exact).item<double>();
    const double relative = norm > 0 ? gap / norm : gap;
    most = relative >= 0 ? std::max(most, relative) : std::numeric_limits<double>::infinity();
  }
  return most;
}

}  // namespace littlebit
