// A packed folder as a decoder to run. Signs are taken bit by bit, not through latents: they stand
// even where a scale is zero.
#include "littlebit/export/load_packed.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/strings.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/ops/update_signs.h"
#include "littlebit/quant/factor_file.h"
#include "littlebit/quant/packed_linear.h"
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

// A factor's signs as the packed format stores them; `drop`: what to let go of once they are taken.
struct StoredSigns {
  at::Tensor words;
  std::span<const std::byte> drop;
};

StoredSigns stored_signs(const HfFolder& folder, const std::string& name) {
  if (const TensorView* packed = folder.find(name + "_packed")) {
    return {map_tensor(*packed), packed->data};
  }
  return {
      padded_signs(load_tensor(folder.require(name), at::kFloat, at::kCPU, folder.path().string())),
      {}};
}

PackedSigns load_signs(const HfFolder& folder, const std::string& name, int64_t cols,
                       at::Device device) {
  const StoredSigns stored = stored_signs(folder, name);
  PackedSigns signs(stored.words, cols, device);
  drop_pages(stored.drop);  // they are held in another order from now on
  return signs;
}

at::Tensor load_vector(const HfFolder& folder, const std::string& name, int64_t size,
                       at::ScalarType dtype, at::Device device) {
  const TensorView& view = folder.require(name);
  if (view.numel() != size) {
    throw InputError(folder.path().string() + ": tensor '" + name + "' has shape " +
                     shape_text(view.shape) + ", expected " + std::to_string(size) + " numbers");
  }
  return load_tensor(view, dtype, device, folder.path().string()).reshape({-1});
}

// Shapes were checked by FactorFile::plan().
std::unique_ptr<PackedLinear> load_layer(const HfFolder& folder, const LinearSlot& slot,
                                         const LayerPlan& plan, const Decoder& decoder) {
  const std::string prefix = slot.name + ".";
  const auto vector = [&](const std::string& name, int64_t size) {
    return load_vector(folder, prefix + name, size, decoder.residual_dtype(), decoder.device());
  };
  std::vector<PackedPath> paths;
  for (int p = 0; p < plan.paths; ++p) {
    const std::string suffix = p == 0 ? "" : "_R";
    PackedPath path{.U = load_signs(folder, prefix + "U" + suffix, plan.rank, decoder.device()),
                    .V = load_signs(folder, prefix + "V" + suffix, plan.d_in, decoder.device())};
    path.h = vector("u1" + suffix, plan.d_out);
    path.l = vector("v1" + suffix, plan.rank) * vector("u2" + suffix, plan.rank);
    path.g = vector("v2" + suffix, plan.d_in);
    paths.push_back(std::move(path));
  }
  const at::Tensor bias = slot.has_bias ? vector("bias", plan.d_out) : at::Tensor();
  return std::make_unique<PackedLinear>(slot.name, std::move(paths), bias, decoder.compute_dtype());
}

void find_authors_buffers(const HfFolder& folder, const std::string& layer) {
  // What the authors' code keeps for itself: accounted for, not needed.
  for (const char* buffer : {"._eff_bit_target", "._eff_bit_actual", "._split_dim_final"}) {
    folder.find(layer + buffer);
  }
}

void fill_layer(const HfFolder& folder, LittleBitLinear& layer, at::Device device) {
  const auto fill = [&](const std::string& name, const at::Tensor& vector) {
    vector.copy_(
        load_vector(folder, layer.name() + name, vector.numel(), vector.scalar_type(), device));
  };
  for (size_t p = 0; p < layer.paths().size(); ++p) {
    SignPath& path = layer.paths()[p];
    const std::string suffix = p == 0 ? "" : "_R";
    path.U.set_from_padded_words(stored_signs(folder, layer.name() + ".U" + suffix).words);
    path.V.set_from_padded_words(stored_signs(folder, layer.name() + ".V" + suffix).words);
    fill(".u1" + suffix, path.u1);
    fill(".u2" + suffix, path.u2);
    fill(".v1" + suffix, path.v1);
    fill(".v2" + suffix, path.v2);
  }
  if (layer.bias().defined()) fill(".bias", layer.bias());
  find_authors_buffers(folder, layer.name());
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
  if (path_exists(folder.path() / kQuantFile)) return true;
  for (const std::string& name : folder.names()) {
    if (name.ends_with(".U_packed") || name.ends_with(".U")) return true;
  }
  return false;
}

ModelSpec folder_spec(const HfFolder& folder) {
  if (!is_packed_folder(folder)) return parse_model_spec(folder.config());
  return parse_model_spec(config_without_quant_keys(folder.config()));
}

Decoder load_packed(const HfFolder& folder, at::ScalarType compute_dtype, at::Device device) {
  c10::NoGradGuard no_grad;
  Decoder decoder = load_open_decoder(folder, folder_spec(folder), compute_dtype, device);
  const std::vector<LayerPlan> plans = read_plans(decoder, folder);
  size_t next = 0;
  decoder.visit_linears([&](LinearSlot& slot) {
    slot.linear = load_layer(folder, slot, plans[next++], decoder);
    find_authors_buffers(folder, slot.name);
  });
  return decoder;
}

std::unique_ptr<Student> load_packed_student(const HfFolder& folder, at::ScalarType compute_dtype,
                                             at::Device device) {
  c10::NoGradGuard no_grad;
  Decoder decoder = load_open_decoder(folder, folder_spec(folder), compute_dtype, device);
  const std::vector<LayerPlan> plans = read_plans(decoder, folder);
  auto student = std::make_unique<Student>(std::move(decoder), plans);
  for (StudentGroup& group : student->groups()) {
    for (LittleBitLinear* layer : group.layers()) fill_layer(folder, *layer, device);
  }
  return student;
}

}  // namespace littlebit
