// Random numbers come from the device's own generator: at 7 B weights a generator on the CPU would
// take minutes. Scales are such that activations keep their size from layer to layer.
#include "synthetic.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distill/streamed_teacher.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/linear.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/packed_linear.h"
#include "littlebit/quant/sign_matrix.h"

namespace littlebit {
namespace {

at::Tensor random(std::vector<int64_t> shape, double deviation, at::ScalarType dtype,
                  at::Device device) {
  return at::empty(shape, at::TensorOptions().dtype(dtype).device(device)).normal_(0, deviation);
}

double inverse_root(int64_t n) { return 1 / std::sqrt(static_cast<double>(n)); }

// The latents' signs decide nothing here, their size does: in the surrogate's window, so that
// gradients are not zero.
constexpr double kLatentSize = 0.02;
constexpr uint64_t kSeed = 42;

}  // namespace

Json stack_config(const StackOptions& options, int64_t blocks, int64_t positions) {
  if (options.hidden_size % options.heads != 0 || options.heads % options.kv_heads != 0 ||
      options.hidden_size / options.heads % 2 != 0) {
    throw UsageError(
        "stack: hidden_size " + std::to_string(options.hidden_size) + ", heads " +
            std::to_string(options.heads) + " and kv_heads " + std::to_string(options.kv_heads) +
            " do not fit together",
        "heads must divide hidden_size into an even width, kv_heads must divide heads");
  }
  return {{"model_type", "llama"},
          {"hidden_act", "silu"},
          {"hidden_size", options.hidden_size},
          {"intermediate_size", options.intermediate_size},
          {"num_hidden_layers", blocks},
          {"num_attention_heads", options.heads},
          {"num_key_value_heads", options.kv_heads},
          {"vocab_size", options.vocabulary},
          {"max_position_embeddings", positions},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"tie_word_embeddings", false}};
}

ModelSpec stack_spec(const StackOptions& options, int64_t blocks, int64_t positions) {
  return parse_model_spec(stack_config(options, blocks, positions));
}

Decoder random_decoder(const ModelSpec& spec, at::ScalarType dtype, at::Device device,
                       bool trainable) {
  const c10::NoGradGuard no_grad;
  Decoder decoder = empty_decoder(spec, dtype, device);
  // Frozen ones as a decoder keeps those of a checkpoint in bf16.
  const at::ScalarType kept = trainable ? dtype : weight_dtype(at::kBFloat16, dtype, device);
  const auto matrix = [&](int64_t rows, int64_t columns) {
    at::Tensor values = random({rows, columns}, inverse_root(columns), kept, device);
    if (trainable) values.set_requires_grad(true);
    return values;
  };
  decoder.set_frozen(
      {.embedding = random({spec.vocab_size, spec.embedding_size}, 1, dtype, device)});
  decoder.set_head(std::make_shared<DenseLinear>(matrix(spec.vocab_size, spec.embedding_size)));
  decoder.visit_parameters([&](Parameter& parameter) {
    parameter.value = at::full({parameter.size}, 1,
                               at::TensorOptions().dtype(decoder.residual_dtype()).device(device));
  });
  decoder.visit_linears([&](LinearSlot& slot) {
    slot.linear = std::make_unique<DenseLinear>(matrix(slot.d_out, slot.d_in), at::Tensor());
  });
  return decoder;
}

std::vector<LayerPlan> plans_at(Decoder& decoder, double bits) {
  QuantOptions options;
  options.bits_per_weight = bits;
  return plan_model(decoder, options);
}

std::unique_ptr<Linear> random_packed_layer(const LayerPlan& plan, at::ScalarType dtype,
                                            at::Device device) {
  const auto signs = [&](int64_t rows, int64_t cols) {
    return PackedSigns(at::randint(INT32_MIN, INT32_MAX, {rows, (cols + 31) / 32}, at::kInt), cols,
                       device);
  };
  const auto scale = [&](int64_t size, double value) {
    return at::full({size}, value, at::TensorOptions().dtype(at::kFloat).device(device));
  };
  std::vector<PackedPath> paths;
  for (int p = 0; p < plan.paths; ++p) {
    paths.push_back({.U = signs(plan.d_out, plan.rank),
                     .V = signs(plan.rank, plan.d_in),
                     .h = scale(plan.d_out, 1),
                     .l = scale(plan.rank, inverse_root(plan.paths * plan.rank)),
                     .g = scale(plan.d_in, inverse_root(plan.d_in))});
  }
  return std::make_unique<PackedLinear>(plan.name, std::move(paths), at::Tensor(), dtype);
}

Decoder random_packed(const Decoder& dense, double bits) {
  const c10::NoGradGuard no_grad;
  Decoder decoder = open_decoder(dense);
  const std::vector<LayerPlan> plans = plans_at(decoder, bits);
  size_t next = 0;
  decoder.visit_linears([&](LinearSlot& slot) {
    slot.linear = random_packed_layer(plans[next++], dense.compute_dtype(), dense.device());
  });
  return decoder;
}

DenseFolder::DenseFolder(Decoder& decoder, const Json& config)
    : folder_(std::filesystem::temp_directory_path() /
              ("littlebit-bench-" + std::to_string(getpid()))) {
  write_file(folder_.path() / "config.json", to_json_pretty(config));
  std::vector<std::pair<std::string, at::Tensor>> tensors = {
      {decoder.parts().frozen_names.embedding, decoder.frozen().embedding},
      {decoder.head().weight.tensor, dense_weight(decoder.head())}};
  decoder.visit_parameters(
      [&](Parameter& parameter) { tensors.emplace_back(parameter.name, parameter.value); });
  decoder.visit_linears(
      [&](LinearSlot& slot) { tensors.emplace_back(slot.weight.tensor, dense_weight(slot)); });
  SafetensorsWriter writer(folder_.path() / "model.safetensors");
  for (const auto& [name, values] : tensors) {
    writer.declare(name, dtype_of(values.scalar_type()), values.sizes().vec());
  }
  for (const auto& [name, values] : tensors) write_tensor(writer, values);
  writer.commit();
  files_.emplace(folder_.path());
  files_->open_tensors();
}

DenseFolder::~DenseFolder() {
  files_.reset();
  folder_.remove();
}

namespace {

Decoder teacher_of(const StackOptions& stack, const StepRun& run, at::ScalarType dtype,
                   at::Device device, std::unique_ptr<DenseFolder>& folder) {
  at::manual_seed(kSeed);
  const ModelSpec spec = stack_spec(stack, run.blocks, run.sequence_length);
  Decoder whole = random_decoder(spec, dtype, device);
  if (!run.streams_teacher) return whole;
  folder =
      std::make_unique<DenseFolder>(whole, stack_config(stack, run.blocks, run.sequence_length));
  return load_streamed_decoder(folder->files(), spec, dtype, device);
}

}  // namespace

RandomTraining::RandomTraining(const StackOptions& stack, const StepRun& run, at::ScalarType dtype,
                               at::Device device)
    : teacher(teacher_of(stack, run, dtype, device, folder)) {
  const c10::NoGradGuard no_grad;
  Decoder open = open_decoder(teacher);
  plans = plans_at(open, run.bits);
  student = std::make_unique<Student>(std::move(open), plans);
  OptimOptions options;
  options.state_device = run.state_device;
  options.moments = run.moments;
  optimizer = std::make_unique<Optimizer>(*student, options, Surrogate::kSmoothSign);
  std::map<std::string, double> scales;  // of the scales that are not 1, by name without the path
  for (const LayerPlan& plan : plans) {
    scales[plan.name + ".u2"] = inverse_root(plan.paths * plan.rank);
    scales[plan.name + ".v2"] = inverse_root(plan.d_in);
  }
  for (size_t g = 0; g < student->groups().size(); ++g) {
    optimizer->states()[g].visit([&](const StatePart& part) {
      if (part.kind != StateKind::kLatents) return;
      // On the student's device, wherever the state is: the same numbers.
      part.values.copy_(random(part.values.sizes().vec(), kLatentSize, at::kFloat, device));
    });
    student->groups()[g].visit_vectors(
        [&](VectorKind, const std::string& name, const at::Tensor& values) {
          const bool residual = name.ends_with("_R");
          const auto found = scales.find(name.substr(0, name.size() - (residual ? 2 : 0)));
          values.fill_(found == scales.end() ? 1 : found->second);
        });
  }
  optimizer->refresh_bits();
}

}  // namespace littlebit
