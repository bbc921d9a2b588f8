// How a model becomes a LittleBit model (section `quant`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace littlebit {

class OptionGroup;

enum class Surrogate { kSmoothSign, kSte };
enum class Ranks { kUniform, kByLoss };

struct QuantOptions {
  double bits_per_weight = 1.0;
  bool residual = true;  // two paths
  double kv_factor = 1;  // multiplies the rank of k_proj and v_proj
  int64_t min_rank = 8;
  Ranks ranks = Ranks::kUniform;
  Surrogate surrogate = Surrogate::kSmoothSign;
  std::string init = "dual_svid";   // a start by its name (quant/starts.h), or "file":
  std::filesystem::path init_file;  // a packed folder, or a safetensors file with latents
  std::filesystem::path cache_dir;  // initial factors cached between runs; empty: not cached
  int64_t svd_oversampling = 16;
  int64_t svd_power_iterations = 2;
  int64_t itq_iterations = 50;
  int64_t admm_iterations = 400;
  double latent_rms = 0;  // 0: as the start makes them
  void declare(OptionGroup& group);

  bool starts_from_file() const { return init == "file"; }
};

}  // namespace littlebit
