// A packed folder back into a student. Signs are taken bit by bit, not through latents: they stand
// even where a scale is zero.
#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/strings.h"
#include "littlebit/export/folder.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/factor_file.h"
#include "model_files.h"

namespace littlebit {
namespace {

// The signs of unpacked latents [rows, cols] as rows of words.
at::Tensor padded_signs(const at::Tensor& latents) {
  const int64_t rows = latents.size(0), cols = latents.size(1), words = (cols + 31) / 32;
  at::Tensor padded = at::zeros({rows, words * 32}, latents.options());
  padded.narrow(1, 0, cols).copy_(latents);
  at::Tensor packed = at::zeros({rows * words}, latents.options().dtype(at::kInt));
  update_signs(padded.view({-1}), packed);
  return packed.view({rows, words});
}

void load_signs(const HfFolder& folder, const std::string& name, SignMatrix& signs) {
  if (const TensorView* packed = folder.find(name + "_packed")) {
    signs.set_from_padded_words(map_tensor(*packed));
  } else {
    signs.set_from_padded_words(
        padded_signs(load_tensor(folder.require(name), at::kFloat, at::kCPU)));
  }
}

void load_vector(const HfFolder& folder, const std::string& name, const at::Tensor& vector) {
  const TensorView& view = folder.require(name);
  if (view.numel() != vector.numel()) {
    throw InputError(folder.path().string() + ": tensor '" + name + "' has shape " +
                     shape_text(view.shape) + ", expected " + std::to_string(vector.numel()) +
                     " numbers");
  }
  vector.copy_(load_tensor(view, vector.scalar_type(), at::kCPU).reshape({-1}));
}

// Shapes were checked by FactorFile::plan().
void load_layer(const HfFolder& folder, LittleBitLinear& layer) {
  const std::string prefix = layer.name() + ".";
  for (size_t p = 0; p < layer.paths().size(); ++p) {
    SignPath& path = layer.paths()[p];
    const std::string suffix = p == 0 ? "" : "_R";
    load_signs(folder, prefix + "U" + suffix, path.U);
    load_signs(folder, prefix + "V" + suffix, path.V);
    load_vector(folder, prefix + "u1" + suffix, path.u1);
    load_vector(folder, prefix + "u2" + suffix, path.u2);
    load_vector(folder, prefix + "v1" + suffix, path.v1);
    load_vector(folder, prefix + "v2" + suffix, path.v2);
  }
  if (layer.bias().defined()) load_vector(folder, prefix + "bias", layer.bias());
  // What the authors' code keeps for itself: accounted for, not needed.
  for (const char* buffer : {"_eff_bit_target", "_eff_bit_actual", "_split_dim_final"}) {
    folder.find(prefix + buffer);
  }
}

std::vector<LayerPlan> read_plans(Decoder& decoder, const HfFolder& folder) {
  const FactorFile file(folder);
  std::vector<LayerPlan> plans;
  std::vector<std::string> missing;
  decoder.visit_linears([&](LinearSlot& slot) {
    if (file.has_layer(slot.name)) {
      plans.push_back(file.plan(slot.name, slot.d_in, slot.d_out));
    } else {
      missing.push_back(slot.name);
    }
  });
  if (!missing.empty()) {
    const size_t count = missing.size();
    missing.resize(std::min<size_t>(count, 3));
    throw InputError(folder.path().string() + ": " + std::to_string(count) +
                         " linear layer(s) without LittleBit factors: " + join(missing, ", ") +
                         (count > 3 ? ", ..." : ""),
                     "expected <layer>.U_packed and its companions for every linear layer");
  }
  return plans;
}

}  // namespace

bool is_packed_folder(const HfFolder& folder) {
  std::error_code ignored;
  if (std::filesystem::exists(folder.path() / kQuantFile, ignored)) return true;
  for (const std::string& name : folder.names()) {
    if (name.ends_with(".U_packed") || name.ends_with(".U")) return true;
  }
  return false;
}

ModelSpec folder_spec(const HfFolder& folder) {
  if (!is_packed_folder(folder)) return parse_model_spec(folder.config());
  return parse_model_spec(config_without_quant_keys(folder.config()));
}

std::unique_ptr<Student> load_packed(const HfFolder& folder, at::ScalarType compute_dtype,
                                     at::Device device) {
  c10::NoGradGuard no_grad;
  const ModelSpec spec = folder_spec(folder);
  Decoder decoder = load_open_decoder(folder, spec, compute_dtype, device);
  const std::vector<LayerPlan> plans = read_plans(decoder, folder);
  auto student = std::make_unique<Student>(std::move(decoder), plans);
  for (StudentGroup& group : student->groups()) {
    for (LittleBitLinear* layer : group.layers()) load_layer(folder, *layer);
  }
  return student;
}

}  // namespace littlebit
