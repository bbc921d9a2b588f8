// Cases `layers` and `generate`: packed models against dense ones.
#include <ATen/TensorOperators.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cases.h"
#include "littlebit/core/stopwatch.h"
#include "littlebit/device/memory.h"
#include "littlebit/device/part_clock.h"
#include "littlebit/models/incremental.h"
#include "synthetic.h"

namespace littlebit {
namespace {

// Greedy, with a full cache.
class Generator {
 public:
  explicit Generator(const Decoder& decoder)
      : decoder_(decoder), incremental_(decoder, CacheKind::kFull) {
    incremental_.extend(std::vector<int32_t>{1});
  }
  void step() {
    const at::Tensor z = incremental_.extend({&token_, 1});
    token_ = static_cast<int32_t>(at::argmax(decoder_.head_forward(z[0])).item<int64_t>());
  }

 private:
  const Decoder& decoder_;
  IncrementalDecoder incremental_;
  int32_t token_ = 1;
};

double factor_signs(const LayerPlan& plan) {
  return static_cast<double>(plan.rank * plan.paths * (plan.d_in + plan.d_out));
}

double tokens_per_second(const Decoder& decoder, int64_t tokens) {
  Generator generator(decoder);
  for (int i = 0; i < 2; ++i) generator.step();
  const Stopwatch stopwatch;
  for (int64_t i = 0; i < tokens; ++i) generator.step();
  return static_cast<double>(tokens) / stopwatch.seconds();
}

}  // namespace

Json measure_layers(const BenchSetup& setup) {
  const c10::NoGradGuard no_grad;
  const CaseOptions& options = setup.options.cases;
  const auto tensor_options = at::TensorOptions().dtype(setup.dtype).device(setup.device());
  const MachineLimits limits = measure_limits(setup);
  Json rows = Json::array();
  for (const std::string& shape : options.shapes) {
    const auto [d_out, d_in] = matrix_shape(shape);
    const DenseLinear dense(at::empty({d_out, d_in}, tensor_options).normal_(), {});
    for (const std::string& bits : options.bits) {
      QuantOptions quant;
      quant.bits_per_weight = positive_number("case.bits", bits);
      const LayerPlan plan = plan_layer("layer", d_in, d_out, quant);
      const auto packed = random_packed_layer(plan, setup.dtype, setup.device());
      for (const std::string& count : options.rows) {
        const auto number = static_cast<int64_t>(positive_number("case.rows", count));
        const at::Tensor x = at::empty({number, d_in}, tensor_options).normal_();
        const double dense_seconds = setup.timer.warm([&] { dense.forward(x); });
        const double packed_seconds = setup.timer.warm([&] { packed->forward(x); });
        const double signs = factor_signs(plan), numbers = static_cast<double>(number);
        const double bytes =
            signs / 8 + numbers * static_cast<double>((d_in + d_out) * x.element_size());
        rows.push_back({{"shape", shape},
                        {"bits", quant.bits_per_weight},
                        {"rows", number},
                        {"dense_seconds", dense_seconds},
                        {"packed_seconds", packed_seconds},
                        {"limit_seconds", limits.seconds(2 * numbers * signs, bytes, setup.dtype)},
                        {"ratio", dense_seconds / packed_seconds}});
      }
    }
  }
  return {{"rows", rows}};
}

Json measure_generation(const BenchSetup& setup) {
  const c10::NoGradGuard no_grad;
  const BenchOptions& options = setup.options;
  const int64_t tokens = options.cases.new_tokens;
  const ModelSpec spec = stack_spec(options.stack, options.stack.blocks, tokens + 16);
  Json rows = Json::array();
  const PeakMemory memory(setup.device());
  Decoder dense = random_decoder(spec, setup.dtype, setup.device());
  const double dense_rate = tokens_per_second(dense, tokens);
  const int64_t dense_bytes = memory.bytes();
  const double bandwidth = measure_limits(setup).bandwidth;
  const auto head_bytes = static_cast<double>(dense_weight(dense.head()).nbytes());
  // `matrices`: bytes of the blocks' matrices. A token reads each once, and the head.
  const auto add = [&](const std::string& model, double rate, int64_t bytes, double matrices) {
    rows.push_back({{"model", model},
                    {"blocks", spec.num_layers},
                    {"tokens_per_second", rate},
                    {"limit_tokens_per_second", bandwidth / (matrices + head_bytes)},
                    {"bytes", bytes},
                    {"ratio", rate / dense_rate}});
  };
  double dense_matrices = 0;
  for (const LayerPlan& plan : plans_at(dense, 1)) {
    dense_matrices += static_cast<double>(plan.d_in * plan.d_out) *
                      static_cast<double>(c10::elementSize(setup.dtype));
  }
  add(setup.dtype == at::kFloat ? "dense, fp32" : "dense, bf16", dense_rate, dense_bytes,
      dense_matrices);
  const int64_t shared_bytes =
      static_cast<int64_t>(dense.frozen().embedding.nbytes() + dense_weight(dense.head()).nbytes());
  for (const std::string& bits : options.cases.bits) {
    const PeakMemory beside(setup.device());
    const double number = positive_number("case.bits", bits);
    const Decoder packed = random_packed(dense, number);
    const double rate = tokens_per_second(packed, tokens);
    double signs = 0;
    for (const LayerPlan& plan : plans_at(dense, number)) signs += factor_signs(plan);
    add("packed, " + bits + " bit", rate, beside.bytes() + shared_bytes, signs / 8);
  }
  return {{"rows", rows}};
}

}  // namespace littlebit
