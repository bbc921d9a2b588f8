// The command `forward`: everything a model computes for given ids, for comparisons.
#include "littlebit/commands/forward.h"

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/device/device.h"
#include "littlebit/eval/model.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/logging/console.h"
#include "littlebit/models/forward.h"
#include "littlebit/nn/tensor_io.h"
#include "model_to_run.h"
#include "output_guard.h"

namespace littlebit {
namespace {

constexpr char kIds[] = "input_ids";

at::Tensor read_ids(const SafetensorsFile& file) {
  if (const TensorView* view = file.find(kIds)) return map_tensor(*view);
  throw InputError(file.path().string() + ": no tensor '" + kIds + "'",
                   "the file must hold int32 or int64 ids of shape [batch, positions]");
}

}  // namespace

int run_forward(const ForwardOptions& options) {
  const NamedPath input_path = {"--input", options.input},
                  output_path = {"--output", options.output};
  require_paths({{"--model", options.model}, input_path, output_path});
  check_outputs(options.model, {input_path}, {output_path});
  use_threads(options.threads);
  const at::Device device = open_device(options.device, "--device");
  const SafetensorsFile input(options.input);
  const at::Tensor ids = read_ids(input);
  const EvalModel model(HfFolder(options.model), float_type(options.dtype, device), device);
  const ModelSpec& spec = model.decoder().spec();
  const int64_t length = ids.dim() == 2 ? ids.size(1) : 0;
  if (!spec.learned_positions && length > spec.max_positions) {
    log_warning(options.input.string() + ": sequences of " + format_count(length) +
                " ids, the model was made for " + format_count(spec.max_positions));
  }
  ForwardResult result;
  try {
    result = forward_full(model.decoder(), ids, options.hidden_states);
  } catch (const InputError& error) {
    throw InputError(options.input.string() + ": " + error.what(), error.hint());
  }

  std::vector<std::pair<const char*, const at::Tensor*>> outputs = {
      {"logits", &result.logits}, {"final_hidden", &result.final_hidden}};
  if (options.hidden_states) outputs.emplace_back("hidden_states", &result.hidden_states);
  SafetensorsWriter writer(options.output);
  for (const auto& [name, tensor] : outputs) {
    writer.declare(name, Dtype::kF32, tensor->sizes().vec());
  }
  for (const auto& [name, tensor] : outputs) write_tensor(writer, tensor->to(at::kFloat));
  writer.commit();
  return static_cast<int>(ExitCode::kDone);
}

}  // namespace littlebit
