// A layer's file holds its latents and scales under the authors' names, and their hash as start
// factors have it. The folder's name says for which teacher and settings, the file's for which
// layer.
#include "layer_cache.h"

#include <charconv>

#include "factor_cache.h"
#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"
#include "littlebit/logging/console.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr const char *kError = "relative_error", *kSeconds = "seconds";

double number_in(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  double value = 0;
  if (found == file.metadata().end()) return value;
  const std::string& text = found->second;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

LayerCache::LayerCache(const fs::path& folder, bool is_private, bool joins)
    : folder_(folder), is_private_(is_private), joins_(joins) {
  if (joins_) return;
  try {
    scratch_ = std::make_unique<ScratchFolder>(folder);
  } catch (const OutputError& failed) {
    log_warning("factorised layers are not cached: " + std::string(failed.what()));
  }
}

fs::path LayerCache::file_of(const LayerPlan& plan) const {
  return folder_ / (plan.name + ".safetensors");
}

std::optional<LayerFactors> LayerCache::find(const LayerPlan& plan) const {
  const fs::path path = file_of(plan);
  if (!keeps() || !path_exists(path)) return std::nullopt;
  try {
    verify_factors(path);
    const FactorFile file(path);
    file.plan(plan.name, plan.d_in, plan.d_out);
    LayerFactors factors = file.load(plan, at::kFloat);
    for (FactorPath& part : factors.paths) {  // the file is closed in a moment
      for (at::Tensor* tensor : {&part.U, &part.V, &part.u1, &part.u2, &part.v1, &part.v2}) {
        *tensor = tensor->clone();
      }
    }
    const SafetensorsFile about(path);
    factors.relative_error = number_in(about, kError);
    factors.seconds = number_in(about, kSeconds);
    ++num_found_;
    return factors;
  } catch (const InputError& damaged) {
    log_warning("skipping a cached layer: " + std::string(damaged.what()));
    return std::nullopt;
  }
}

void LayerCache::keep(const LayerPlan& plan, const LayerFactors& factors) {
  if (!keeps() || failed_) return;
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  for (size_t p = 0; p < factors.paths.size(); ++p) {
    const FactorPath& path = factors.paths[p];
    const std::string suffix = p == 0 ? "" : "_R";
    for (const auto& [name, tensor] :
         {std::pair{".V", path.V}, std::pair{".U", path.U}, std::pair{".u1", path.u1},
          std::pair{".u2", path.u2}, std::pair{".v1", path.v1}, std::pair{".v2", path.v2}}) {
      tensors.emplace_back(plan.name + name + suffix, tensor);
    }
  }
  try {
    // In one step, so that a kill leaves a whole layer or none.
    write_factors(file_of(plan), tensors,
                  {{kError, format_digits(factors.relative_error, 17)},
                   {kSeconds, format_digits(factors.seconds, 17)}});
    ++num_new_;
  } catch (const OutputError& failed) {  // the run itself can go on
    if (failed_.exchange(true)) return;
    log_warning("factorised layers are no longer cached: " + std::string(failed.what()));
  }
}

void LayerCache::remove() {
  if (!scratch_) return;
  scratch_->remove();
  scratch_.reset();
  if (!is_private_) return;
  std::error_code error;
  const fs::path parent = folder_.parent_path();
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, error)) {
    if (entry.path().extension() != folder_.extension() || !ScratchFolder::is_ours(entry.path())) {
      continue;
    }
    try {
      ScratchFolder(entry.path()).remove();
    } catch (const OutputError&) {  // it stays
    }
  }
  if (fs::is_empty(parent, error) && !error) fs::remove(parent, error);
}

}  // namespace littlebit
