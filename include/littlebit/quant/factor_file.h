// Reads LittleBit layers under the authors' names (specs section 7): packed signs (`P.U_packed`,
// `P.U_shape`), or unpacked `P.U`, `P.V`, with scales `P.u1 u2 v1 v2` and, for the second path, the
// same names with `_R`.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "littlebit/io/hf_folder.h"
#include "littlebit/quant/bit_budget.h"
#include "littlebit/quant/factorization.h"

namespace littlebit {

class FactorFile {
 public:
  // `path`: a model folder, or one safetensors file. InputError where it cannot be read.
  explicit FactorFile(const std::filesystem::path& path);
  explicit FactorFile(const HfFolder& folder);  // refers to it
  ~FactorFile();

  bool has_layer(const std::string& layer) const;

  // Rank and paths of a layer as the file has them. InputError: missing parts (those of the second
  // path too where the folder's littlebit_config.json or config.json says `residual`), shapes that
  // contradict each other or [d_out, d_in], words too few, scales that are no floating numbers.
  LayerPlan plan(const std::string& layer, int64_t d_in, int64_t d_out) const;

  // The layer in fp32 (fp64). From packed signs: U = sign * |u1| |u2|^T, V = sign * |v1| |v2|^T
  // (specs section 7), scales as stored. From unpacked factors: as they are. InputError where a
  // number is not finite.
  LayerFactors load(const LayerPlan& plan, at::ScalarType dtype) const;

  const TensorView* find(const std::string& name) const;  // norms, biases
  const std::string& where() const { return where_; }     // the folder or file, for messages

 private:
  const TensorView& require(const std::string& name) const;
  bool has_residual(const std::string& layer) const;
  std::unique_ptr<HfFolder> own_folder_;
  std::unique_ptr<SafetensorsFile> own_file_;
  const HfFolder* folder_ = nullptr;
  std::string where_;
  bool residual_ = false;  // said of every layer
};

}  // namespace littlebit
