// What stands beside the tensors of an exported folder: configuration and tokenizer files.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "littlebit/io/hf_folder.h"
#include "littlebit/io/json.h"
#include "littlebit/quant/bit_budget.h"

namespace littlebit {

constexpr char kQuantFile[] = "littlebit_config.json";

// The key and value of metadata that a tensor file of ours has.
constexpr char kProducer[] = "producer", kUs[] = "littlebit-native";

// The metadata of every tensor file we export.
std::map<std::string, std::string> export_metadata();

// The keys of littlebit_config.json, which stand in config.json again.
Json quant_keys(std::span<const LayerPlan> plans, const QuantOptions& options);

// config.json of a folder without those keys: what describes the model itself.
Json config_without_quant_keys(const Json& config);

// config.json in `folder`: the teacher's decoder with `torch_dtype` and, where they are given,
// `quant` (also as littlebit_config.json); beside it the teacher's tokenizer files, byte for byte.
// Of a packed folder in the teacher's place, the keys of its quantisation are left out.
void write_model_files(const std::filesystem::path& folder, const HfFolder& teacher,
                       const std::string& torch_dtype, const Json& quant);

// OutputError where `folder` is there and is neither empty nor an export of ours.
void require_replaceable(const std::filesystem::path& folder);

// Links into `staging` what lies in `folder`, an export of ours that it is to replace, and is not
// of our making: a person's notes, scores.
void keep_foreign_files(const std::filesystem::path& folder, const std::filesystem::path& staging);

// The authors' effective bits per weight over all layers, weighted by size.
double formula_bits(std::span<const LayerPlan> plans);

}  // namespace littlebit
