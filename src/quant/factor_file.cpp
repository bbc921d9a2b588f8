// Factors read from a folder or a single file. plan() holds every factor and scale to the shape
// that the model asks for; load() then reads what plan() has accepted. A layer of which one tensor
// of the second path is there has two paths, and so has every layer of a folder that says so.
#include "littlebit/quant/factor_file.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/outer.h>
#include <c10/core/GradMode.h>

#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/io/json.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/sign_matrix.h"

namespace littlebit {
namespace {

const char* suffix(int path) { return path == 0 ? "" : "_R"; }

// The authors write scales as [1, n]; [n] is understood too.
bool is_vector_of(const TensorView& view, int64_t n) { return view.numel() == n; }

[[noreturn]] void wrong_shape(const TensorView& view, const std::string& where,
                              const std::string& expected) {
  throw InputError("tensor " + view.name + " of " + where + " has shape " + shape_text(view.shape) +
                   ", expected " + expected);
}

void require_floating(const TensorView& view, const std::string& where) {
  if (is_floating(view.dtype)) return;
  throw InputError("tensor " + view.name + " of " + where + " is " + view.dtype_text() +
                       ", expected floating-point numbers",
                   "is this a LittleBit model?");
}

// Whether a folder's JSON says that its layers have a second path.
bool says_residual(const std::filesystem::path& folder) {
  for (const char* name : {"littlebit_config.json", "config.json"}) {
    if (!path_exists(folder / name)) continue;
    const Json config = read_json_file(folder / name);
    if (config.is_object() && config.contains("residual")) return config.at("residual") == true;
  }
  return false;
}

int64_t to_integer(const TensorView& view, size_t i) {
  return map_tensor(view).view({-1})[i].item<int64_t>();
}

}  // namespace

FactorFile::FactorFile(const std::filesystem::path& path) : where_(path.string()) {
  if (std::error_code error; std::filesystem::is_directory(path, error)) {
    own_folder_ = std::make_unique<HfFolder>(path);
    own_folder_->open_tensors();
    folder_ = own_folder_.get();
    residual_ = says_residual(path);
  } else {
    own_file_ = std::make_unique<SafetensorsFile>(path);
  }
}

FactorFile::FactorFile(const HfFolder& folder)
    : folder_(&folder), where_(folder.path().string()), residual_(says_residual(folder.path())) {}

FactorFile::~FactorFile() = default;

const TensorView* FactorFile::find(const std::string& name) const {
  return folder_ ? folder_->find(name) : own_file_->find(name);
}

const TensorView& FactorFile::require(const std::string& name) const {
  const TensorView* view = find(name);
  if (!view) {
    throw InputError("no tensor " + name + " in " + where_, "is this a complete LittleBit model?");
  }
  return *view;
}

bool FactorFile::has_layer(const std::string& layer) const {
  return find(layer + ".U_packed") || find(layer + ".U");
}

bool FactorFile::has_residual(const std::string& layer) const {
  for (const char* part : {".U_R_packed", ".U_R", ".V_R_packed", ".V_R", ".u1_R", ".u2_R", ".v1_R",
                           ".v2_R", ".U_R_shape", ".V_R_shape"}) {
    if (find(layer + part) != nullptr) return true;
  }
  return false;
}

LayerPlan FactorFile::plan(const std::string& layer, int64_t d_in, int64_t d_out) const {
  LayerPlan plan{.name = layer, .d_in = d_in, .d_out = d_out};
  plan.paths = residual_ || has_residual(layer) ? 2 : 1;
  for (int p = 0; p < plan.paths; ++p) {
    const auto factor_shape = [&](const std::string& factor) -> std::vector<int64_t> {
      const std::string name = layer + "." + factor + suffix(p);
      const TensorView* packed = find(name + "_packed");
      if (!packed) {
        // Named as its companions of the first path are. If one is missing, the message names the
        // form in which the file has the others.
        const bool were_packed = find(layer + "." + factor + "_packed") != nullptr;
        const TensorView& latents = require(were_packed ? name + "_packed" : name);
        require_floating(latents, where_);
        return latents.shape;
      }
      const TensorView& shape = require(name + "_shape");
      if (!is_vector_of(shape, 2) || (shape.dtype != Dtype::kI64 && shape.dtype != Dtype::kI32)) {
        wrong_shape(shape, where_, "two integers");
      }
      // Words alone do not say how many columns the last one holds, hence the stored shape.
      const std::vector<int64_t> size = {to_integer(shape, 0), to_integer(shape, 1)};
      if (size[0] < 1 || size[1] < 1 || packed->dtype != Dtype::kI32 ||
          packed->shape != std::vector<int64_t>{size[0], (size[1] - 1) / 32 + 1}) {
        wrong_shape(*packed, where_, "int32 words of a matrix " + shape_text(size));
      }
      return size;
    };
    const std::vector<int64_t> u = factor_shape("U"), v = factor_shape("V");
    if (p == 0 && u.size() == 2) plan.rank = u[1];
    const std::vector<int64_t> want_u = {d_out, plan.rank}, want_v = {plan.rank, d_in};
    if (plan.rank < 1 || u != want_u || v != want_v) {
      throw InputError("layer " + layer + " of " + where_ + " has factors " + shape_text(u) +
                       " and " + shape_text(v) + " (path " + std::to_string(p + 1) +
                       "), the model's matrix is " + shape_text(std::vector<int64_t>{d_out, d_in}));
    }
    const std::pair<const char*, int64_t> scales[] = {
        {".u1", d_out}, {".u2", plan.rank}, {".v1", plan.rank}, {".v2", d_in}};
    for (const auto& [name, size] : scales) {
      const TensorView& view = require(layer + name + suffix(p));
      if (!is_vector_of(view, size)) wrong_shape(view, where_, std::to_string(size) + " numbers");
      require_floating(view, where_);
    }
  }
  return plan;
}

LayerFactors FactorFile::load(const LayerPlan& plan, at::ScalarType dtype) const {
  c10::NoGradGuard no_grad;
  LayerFactors factors;
  for (int p = 0; p < plan.paths; ++p) {
    const auto scale = [&](const char* name) {
      return load_tensor(require(plan.name + name + suffix(p)), dtype, at::kCPU, where_)
          .reshape({-1});
    };
    FactorPath path{.u1 = scale(".u1"), .u2 = scale(".u2"), .v1 = scale(".v1"), .v2 = scale(".v2")};
    const auto factor = [&](const char* name, int64_t rows, int64_t cols,
                            const at::Tensor& row_scale, const at::Tensor& column_scale) {
      const TensorView* packed = find(plan.name + name + suffix(p) + "_packed");
      if (!packed)
        return load_tensor(require(plan.name + name + suffix(p)), dtype, at::kCPU, where_);
      const int64_t words = (cols + 31) / 32;
      SignMatrix signs(map_tensor(*packed).reshape({-1}), 0, rows, words * 32);
      at::Tensor padded = at::empty({rows, words * 32}, row_scale.options());
      signs.expand_into(padded, {}, {});
      // A packed file has signs and no latents. Latents with these signs are made up; their sizes
      // are the outer product of the scales, which Dual-SVID fits to the latents' magnitudes.
      return at::outer(row_scale.abs(), column_scale.abs()).mul_(padded.narrow(1, 0, cols));
    };
    path.U = factor(".U", plan.d_out, plan.rank, path.u1, path.u2);
    path.V = factor(".V", plan.rank, plan.d_in, path.v1, path.v2);
    factors.paths.push_back(std::move(path));
  }
  return factors;
}

}  // namespace littlebit
