// Cases `machine`, `signs` and `operations`: what the machine gives, the kernels that memory alone
// bounds, and every operation of the table in ops/operation_case.h.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "cases.h"
#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/ops/expand_signs.h"
#include "littlebit/ops/operation_case.h"
#include "littlebit/ops/update_signs.h"
#include "littlebit/quant/sign_matrix.h"

namespace littlebit {
namespace {

at::TensorOptions on(const BenchSetup& setup, at::ScalarType dtype) {
  return at::TensorOptions().dtype(dtype).device(setup.device());
}

// Bytes read and written by a copy of a buffer much larger than the caches, per second.
double copy_bandwidth(const BenchSetup& setup) {
  const int64_t floats =
      device_traits(setup.device()).is_host ? int64_t{1} << 26 : int64_t{1} << 28;
  const at::Tensor from = at::full({floats}, 1, on(setup, at::kFloat)), to = at::empty_like(from);
  return 2.0 * static_cast<double>(from.nbytes()) / setup.timer.warm([&] { to.copy_(from); });
}

Product large_product(const BenchSetup& setup) {
  const int64_t side = device_traits(setup.device()).is_host ? 1024 : 8192;
  return {.m = side, .n = side, .k = side};
}

std::string short_name(const OperationCase& each) {
  return each.operation.substr(each.operation.rfind(':') + 1);
}

// The case's numbers take longer to make than to compute with: copies of them from then on.
std::function<torch::jit::Stack(at::Device)> made_once(const OperationCase& each,
                                                       at::Device device) {
  return [made = each.arguments(device)](at::Device /*the same*/) {
    torch::jit::Stack copies;
    for (const c10::IValue& value : made) {
      if (value.isTensorList()) {
        c10::List<at::Tensor> list;
        for (const at::Tensor& one : value.toTensorVector()) list.push_back(one.clone());
        copies.emplace_back(std::move(list));
        continue;
      }
      copies.push_back(value.isTensor() && value.toTensor().defined()
                           ? c10::IValue(value.toTensor().clone())
                           : value);
    }
    return copies;
  };
}

// Each form is on the device, so that large shapes take no time of the CPU's.
double difference_from_twin(const OperationCase& each, at::Device device) {
  constexpr auto kNobodys = c10::DispatchKey::PrivateUse3;  // what is left is the twin
  return relative_difference(run_operation(each, device), run_operation(each, device, kNobodys));
}

}  // namespace

double MachineLimits::seconds(double flops, double bytes, at::ScalarType dtype) const {
  const double rate = dtype == at::kBFloat16 ? bf16_flops : fp32_flops;
  return std::max(flops / rate, bytes / bandwidth);
}

MachineLimits measure_limits(const BenchSetup& setup) {
  const Product square = large_product(setup);
  const auto rate = [&](at::ScalarType dtype) {
    return square.flops() / ProductTimes(setup.timer, dtype).seconds(square);
  };
  return {.fp32_flops = rate(at::kFloat),
          .bf16_flops = rate(at::kBFloat16),
          .bandwidth = copy_bandwidth(setup)};
}

Json measure_machine(const BenchSetup& setup) {
  const MachineLimits limits = measure_limits(setup);
  Json rows = Json::array();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const double flops = dtype == at::kFloat ? limits.fp32_flops : limits.bf16_flops;
    rows.push_back(
        {{"what", std::string(name_of(dtype)) + " product, " + large_product(setup).text()},
         {"dtype", name_of(dtype)},
         {"rate", flops * 1e-9},
         {"unit", "GFLOP/s"}});
  }
  rows.push_back({{"what", "memory, copy"}, {"rate", limits.bandwidth * 1e-9}, {"unit", "GB/s"}});
  return {{"rows", rows}};
}

// An MLP matrix of the stack at full rank: as large as a factor gets.
Json measure_signs(const BenchSetup& setup) {
  const StackOptions& stack = setup.options.stack;
  const int64_t rows = stack.intermediate_size, cols = stack.hidden_size;
  const int64_t count = (rows * cols + 127) / 128 * 128;
  const double bandwidth = copy_bandwidth(setup);
  Json result = Json::array();
  const auto add = [&](const char* kernel, const char* dtype, double bytes, double seconds,
                       double plain_seconds) {
    result.push_back({{"kernel", kernel},
                      {"dtype", dtype},
                      {"seconds", seconds},
                      {"plain_seconds", plain_seconds},
                      {"limit_seconds", bytes / bandwidth},
                      {"share", bytes / bandwidth / seconds}});
  };
  const at::Tensor latents = at::empty({count}, on(setup, at::kFloat)).normal_();
  const at::Tensor words = at::zeros({count / 32}, on(setup, at::kInt));
  update_signs(latents, words);
  const double latent_bytes = static_cast<double>(latents.nbytes()),
               bit_bytes = static_cast<double>(words.nbytes());
  const SignMatrix signs(words, 0, rows, cols);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor out = at::empty({rows, cols}, on(setup, dtype));
    const at::Tensor scale = at::full({cols}, 0.5, on(setup, dtype));
    add("expansion", name_of(dtype), bit_bytes + static_cast<double>(out.nbytes()),
        setup.timer.cold([&] { signs.expand_into(out, {}, scale); }),
        setup.timer.cold([&] { at::mul(expand_reference(words, 0, rows, cols, dtype), scale); }));
  }
  add("signs of latents", "fp32", latent_bytes + 2 * bit_bytes,
      setup.timer.cold([&] { update_signs(latents, words); }),
      setup.timer.cold([&] { at::lt(latents, 0); }));
  return {{"rows", result}};
}

Json measure_operations(const BenchSetup& setup) {
  const std::vector<std::string>& names = setup.options.cases.operations;
  std::set<std::string> known;
  for (const OperationCase& each : operation_cases()) known.insert(short_name(each));
  for (const std::string& name : names) {
    if (known.contains(name)) continue;
    throw UsageError("case.operations: there is no operation '" + name + "'",
                     "operations: " + join(std::vector(known.begin(), known.end()), ", "));
  }
  const auto is_chosen = [&](const OperationCase& each) {
    return names.empty() || std::find(names.begin(), names.end(), short_name(each)) != names.end();
  };
  const MachineLimits limits = measure_limits(setup);
  Json rows = Json::array();
  for (OperationCase& each : operation_cases()) {
    if (!each.timed || !is_chosen(each)) continue;
    each.arguments = made_once(each, setup.device());
    const double seconds = setup.timer.cold(prepare_operation(each, setup.device()));
    const double limit = limits.seconds(each.flops, each.bytes, each.dtype);
    Json row = {{"operation", each.operation},
                {"shape", each.shape},
                {"dtype", name_of(each.dtype)},
                {"seconds", seconds},
                {"plain_seconds", setup.timer.cold(prepare_twin(each, setup.device()))},
                {"limit_seconds", limit},
                {"share", limit / seconds}};
    const double difference = difference_from_twin(each, setup.device());
    const bool ok = difference <= each.tolerance;  // false where it is NaN
    row["difference"] = difference;
    row["allowed"] = each.tolerance;
    row["ok"] = ok;
    row["verdict"] = verdict(ok);
    if (each.flops > 0) row["gflops"] = each.flops / seconds * 1e-9;
    if (each.bytes > 0) row["gbytes"] = each.bytes / seconds * 1e-9;
    rows.push_back(std::move(row));
  }
  return {{"rows", std::move(rows)}};
}

}  // namespace littlebit
