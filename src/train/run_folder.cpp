// A run's small files. Each is written whole or not at all, and read back with its kinds checked.
#include "run_folder.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/config/option_tree.h"
#include "littlebit/core/error.h"
#include "littlebit/core/folder_lock.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/packed.h"
#include "littlebit/export/stored_rows.h"
#include "littlebit/logging/console.h"
#include "littlebit/quant/initialize.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// What a run writes beside its log, and words that each such file has.
struct RunFile {
  fs::path path;
  std::vector<const char*> words;
};
std::vector<RunFile> run_files(const RunFolder& folder) {
  return {{folder.config(), {"output:\n", "  # default\n"}},
          {folder.run_json(), {"\"scores\": [", "\"summary\": {"}},
          {folder.metrics(), {"{\"", "\"step\":"}},
          {folder.report(), {"<title>LittleBit run "}},
          {folder.factorization(), {"\"rank\":", "\"relative_error\":"}}};
}

// Whether each of the words stands in it. A file without anything in it is nobody's.
bool has_form(const RunFile& file) {
  try {
    const MappedFile mapped(file.path);
    const std::string_view text(reinterpret_cast<const char*>(mapped.bytes().data()),
                                mapped.bytes().size());
    return text.empty() || std::all_of(file.words.begin(), file.words.end(), [&](const char* word) {
             return text.find(word) != std::string_view::npos;
           });
  } catch (const InputError&) {
    return false;
  }
}

// "2026-11-27 05:15:36.123 info: ", as every message begins.
bool begins_as_log(const fs::path& path) {
  constexpr std::string_view kForm = "dddd-dd-dd dd:dd:dd.ddd ";
  std::ifstream stream(path, std::ios::binary);
  std::string text(kForm.size(), '\0');
  if (!stream.read(text.data(), static_cast<std::streamsize>(text.size()))) return false;
  return std::equal(text.begin(), text.end(), kForm.begin(), [](char c, char form) {
    return form == 'd' ? c >= '0' && c <= '9' : c == form;
  });
}

bool holds_own_checkpoint(const fs::path& checkpoints) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints, error)) {
    if (is_own_checkpoint(entry.path())) return true;
  }
  return false;
}

// Four significant digits: what a table of errors and bits needs.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10, 3 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

Json bytes_json(const ByteTable& bytes) {
  return {{"signs", bytes.signs},   {"scales", bytes.scales}, {"linears", bytes.linears},
          {"biases", bytes.biases}, {"norms", bytes.norms},   {"embeddings", bytes.embeddings},
          {"head", bytes.head},     {"other", bytes.other},   {"total", bytes.total()}};
}

}  // namespace

std::vector<fs::path> RunFolder::written() const {
  std::vector<fs::path> there;
  for (const fs::path& path : {report(), run_json(), metrics(), factorization(), config(), log(),
                               checkpoints(), tensorboard(), cache()}) {
    if (path_exists(path)) there.push_back(path);
  }
  return there;
}

bool RunFolder::holds_a_run() const {
  if (path_exists(checkpoints()) || path_exists(exports())) return true;
  const std::vector<RunFile> files = run_files(*this);
  return std::any_of(files.begin(), files.end(),
                     [](const RunFile& file) { return path_exists(file.path); });
}

std::string RunFolder::foreign_file() const {
  if (FolderLock::is_claimed(root()) || begins_as_log(log()) ||
      holds_own_checkpoint(checkpoints())) {
    return "";
  }
  for (const RunFile& file : run_files(*this)) {
    if (path_exists(file.path) && !has_form(file)) return file.path.filename().string();
  }
  return "";
}

void RunFolder::open_log() const { open_log_file(log()); }

void RunFolder::write_config(const OptionTree& tree) const {
  write_file(config(), tree.to_yaml(/*with_origins=*/true));
}

void RunFolder::write_factorization(std::span<const LayerReport> layers) const {
  std::string lines;
  for (const LayerReport& layer : layers) {
    const LayerPlan& plan = layer.plan;
    lines += to_json_line({{"name", plan.name},
                           {"shape", {plan.d_out, plan.d_in}},
                           {"rank", plan.rank},
                           {"paths", plan.paths},
                           {"bits", rounded(plan.effective_bits())},
                           {"relative_error", layer.relative_error},
                           {"seconds", rounded(layer.seconds)},
                           {"at_floor", plan.at_floor},
                           {"at_cap", plan.at_cap}}) +
             "\n";
  }
  write_file(factorization(), lines);
}

Json RunFolder::read_run_json() const {
  const fs::path file = run_json();
  if (!path_exists(file)) return Json::object();
  Json run = read_json_file(file);
  const auto is = [&](const char* key, bool (Json::*kind)() const noexcept) {
    return !run.contains(key) || (run[key].*kind)();
  };
  if (!run.is_object() || !is("scores", &Json::is_array) || !is("summary", &Json::is_object) ||
      !is("seconds", &Json::is_number)) {
    throw InputError(file.string() + " was not written by a run",
                     "remove it; the run writes it again");
  }
  return run;
}

void RunFolder::write_run_json(const Json& run) const {
  write_file(run_json(), to_json_pretty(run));
}

Json export_json(const PackedExport& packed) {
  Json json = {{"packed", bytes_json(packed.bytes)},
               {"teacher", bytes_json(packed.teacher_bytes)},
               {"formula_bits_per_weight", packed.formula_bits},
               {"stored_bits_per_weight", packed.stored_bits}};
  for (const GroupedMatrix& matrix : packed.grouped) {
    json["grouped"][matrix.part] = {{"bits", matrix.bits},
                                    {"group_size", matrix.group_size},
                                    {"stored_bits", matrix.stored_bits},
                                    {"relative_error", matrix.relative_error}};
  }
  return json;
}

}  // namespace littlebit
