// config.json, littlebit_config.json and the tokenizer's files of an exported folder. Files that
// the export does not make are copied byte for byte; our metadata marks a folder as replaceable.
#include "model_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/model_spec.h"

namespace littlebit {
namespace {

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json",          "tokenizer.model",     "tokenizer_config.json",
    "special_tokens_map.json", "vocab.json",          "merges.txt",
    "added_tokens.json",       "chat_template.jinja", "generation_config.json"};

// The width at which the authors' code splits products; ours does not, their loader wants the key.
constexpr int kSplitDim = 1024;

}  // namespace

std::map<std::string, std::string> export_metadata() {
  return {{"format", "pt"}, {kProducer, kUs}};
}

void require_replaceable(const std::filesystem::path& folder) {
  std::error_code error;
  if (!path_exists(folder) || std::filesystem::is_empty(folder, error) || is_own_export(folder)) {
    return;
  }
  throw OutputError(folder.string() + " holds something that is not an export of this program",
                    "move it away, or export to another folder");
}

double formula_bits(std::span<const LayerPlan> plans) {
  double bits = 0, weights = 0;
  for (const LayerPlan& plan : plans) {
    const double size = static_cast<double>(plan.d_in) * static_cast<double>(plan.d_out);
    bits += plan.effective_bits() * size;
    weights += size;
  }
  return weights > 0 ? bits / weights : 0;
}

Json quant_keys(std::span<const LayerPlan> plans, const QuantOptions& options) {
  // Factors from a file bring their own ranks: bits_per_weight was not asked for then.
  const bool own_ranks = options.starts_from_file();
  const auto two_paths = [](const LayerPlan& plan) { return plan.paths == 2; };
  return {{"quant_func", options.surrogate == Surrogate::kSte ? "STEBinary" : "SmoothSign"},
          {"eff_bit", own_ranks ? formula_bits(plans) : options.bits_per_weight},
          {"split_dim", kSplitDim},
          {"residual", !plans.empty() && std::all_of(plans.begin(), plans.end(), two_paths)},
          {"kv_factor", options.kv_factor},
          {"min_split_dim", options.min_rank},
          {"quant_mod", "LittleBitLinear"}};
}

Json config_without_quant_keys(const Json& config) {
  Json model = config;
  const Json quant = quant_keys({}, {});
  for (const auto& [key, value] : quant.items()) model.erase(key);
  model.erase(kGroupedKey);
  return model;
}

void write_model_files(const std::filesystem::path& folder, const HfFolder& teacher,
                       const std::string& torch_dtype, const Json& quant) {
  Json config = decoder_config(teacher.config());
  if (is_packed_folder(teacher)) config = config_without_quant_keys(config);
  // Newer files call it "dtype".
  config[config.contains("dtype") && !config.contains("torch_dtype") ? "dtype" : "torch_dtype"] =
      torch_dtype;
  if (!quant.is_null()) {
    config.update(quant);
    write_file(folder / kQuantFile, to_json_pretty(quant));
  }
  write_file(folder / "config.json", to_json_pretty(config));
  for (const char* name : kTokenizerFiles) {
    const std::filesystem::path file = teacher.path() / name;
    if (path_exists(file)) write_file(folder / name, read_file(file));
  }
}

void keep_foreign_files(const std::filesystem::path& folder, const std::filesystem::path& staging) {
  namespace fs = std::filesystem;
  if (!path_exists(folder)) return;
  std::set<std::string> ours = {"config.json", kQuantFile, "model.safetensors"};
  ours.insert(std::begin(kTokenizerFiles), std::end(kTokenizerFiles));
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const fs::path name = entry.path().filename();
    if (ours.count(name.string()) != 0 || path_exists(staging / name)) continue;
    std::error_code error;
    const auto whole = fs::copy_options::recursive | fs::copy_options::copy_symlinks;
    fs::copy(entry.path(), staging / name, whole | fs::copy_options::create_hard_links, error);
    if (error) {  // a file system without links
      fs::remove_all(staging / name, error);
      fs::copy(entry.path(), staging / name, whole, error);
    }
    if (error) {
      throw OutputError("cannot keep " + entry.path().string() + ": " + error.message(),
                        "move it out of the export's folder");
    }
  }
}

}  // namespace littlebit
