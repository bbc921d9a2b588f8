// How a model becomes a LittleBit model (section `quant`).
#pragma once

#include <cstdint>
#include <filesystem>

namespace littlebit {

class OptionGroup;

enum class Surrogate { kSmoothSign, kSte };
enum class QuantInit { kDualSvid, kJointItq, kFile };

struct QuantOptions {
  double bits_per_weight = 1.0;
  bool residual = true;  // two paths
  double kv_factor = 1;  // multiplies the rank of k_proj and v_proj
  int64_t min_rank = 8;
  Surrogate surrogate = Surrogate::kSmoothSign;
  QuantInit init = QuantInit::kDualSvid;
  std::filesystem::path
      init_file;  // init == kFile: a packed folder, or a safetensors file with latents
  std::filesystem::path cache_dir;  // start factors kept between runs; empty: not kept
  int64_t svd_oversampling = 16;
  int64_t svd_power_iterations = 2;
  int64_t itq_iterations = 50;
  void declare(OptionGroup& group);
};

}  // namespace littlebit
