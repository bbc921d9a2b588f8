// littlebit-train export: a checkpoint into model folders, or a packed folder into a dense one. No
// optimizer and no training text is opened.

#include "littlebit/train/export_command.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "export_model.h"
#include "littlebit/checkpoint/checkpoint.h"
#include "littlebit/core/place.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/dbf.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/logging/console.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"
#include "littlebit/quant/initialize.h"
#include "model_card.h"
#include "resume.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

// A run's folder stands for its newest checkpoint.
Checkpoint find_checkpoint(const fs::path& source) {
  const RunFolder folder(source);
  if (!path_exists(folder.checkpoints())) return read_checkpoint(source);
  const std::vector<Checkpoint> found = list_checkpoints(folder.checkpoints());
  if (found.empty()) throw InputError("no complete checkpoint in " + source.string());
  return found.front();
}

// The settings of section `quant` that decided the run's numbers, as the checkpoint holds them; the
// packed folder tells them. Others stay as they are.
QuantOptions quant_of(const Checkpoint& checkpoint, QuantOptions quant) {
  OptionTree tree;
  tree.add("quant", "", quant);
  const std::string where = "checkpoint " + checkpoint.folder.string();
  for (const std::string& key : tree.deciding(Decides::kRun)) {
    const auto found = checkpoint.fingerprint.find(key);
    if (found == checkpoint.fingerprint.end()) throw InputError(where + " does not say " + key);
    tree.set(key + "=" + found->second);
  }
  try {
    tree.finish();
  } catch (const UsageError& error) {  // the checkpoint's mistake, not the caller's
    throw InputError(where + ": " + error.what());
  }
  return quant;
}

// The teacher is read while the target is written, and stays: no part of one is in the other.
void check_target(const fs::path& target, const fs::path& source, const fs::path& teacher) {
  if (!teacher.empty() && (lies_in(target, teacher) || lies_in(teacher, target))) {
    throw UsageError(target.string() + " and the model of model.path, " + teacher.string() +
                         ", overlap: the export would overwrite what it reads",
                     "give another --output, outside of the model's folder");
  }
  if (!path_exists(target)) return;
  if (!fs::is_directory(target)) {
    throw OutputError(target.string() + " is a file", "give a folder as --output");
  }
  if (fs::is_empty(target)) return;
  if (lies_in(source, target) || !is_own_export(target)) {
    throw UsageError(target.string() + " holds something that is not an export of this program",
                     "give another --output; only earlier exports are replaced");
  }
}

// Where each format goes: one alone is the output folder itself.
std::vector<std::pair<std::string, fs::path>> targets(const std::vector<std::string>& formats,
                                                      const fs::path& output,
                                                      const fs::path& source,
                                                      const fs::path& teacher) {
  std::vector<std::pair<std::string, fs::path>> all;
  for (const std::string& format : formats) {
    all.emplace_back(format, formats.size() == 1 ? output : output / format);
    check_target(all.back().second, source, teacher);
  }
  if (all.empty()) throw UsageError("export.formats is empty: nothing to write");
  create_folders(all.front().second.parent_path().empty() ? fs::path(".")
                                                          : all.front().second.parent_path());
  return all;
}

void print_written(const std::vector<std::pair<std::string, fs::path>>& written) {
  log_info("written:");
  for (const auto& [format, folder] : written) log_info("  " + folder.string());
}

void export_packed_folder(const RunOptions& options, const OptionTree& tree, const fs::path& source,
                          const fs::path& output) {
  HfFolder folder(source);
  folder.open_tensors();
  if (!is_packed_folder(folder)) {
    throw InputError(source.string() + " is neither a training checkpoint nor a packed model",
                     "checkpoints are folders named step-N under <output.dir>/checkpoints");
  }
  std::vector<std::string> formats = {"dense"};
  if (tree.is_set("export.formats")) formats = options.export_.formats;
  const auto names = [&](const char* format) {
    return std::find(formats.begin(), formats.end(), format) != formats.end();
  };
  if (names("packed")) {
    throw UsageError(source.string() + " is already packed: it can only become dense or dbf",
                     "export.formats=[dense], or leave it out");
  }
  const auto written = targets(formats, output, source, options.model.path);
  const std::unique_ptr<Student> student = load_packed_student(folder, at::kFloat, at::kCPU);
  const LittleBitLinear& layer = *student->groups().at(1).layers().at(0);  // of the first block
  if (names("dbf")) require_dbf(student->decoder().spec(), static_cast<int>(layer.paths().size()));
  for (const auto& [format, target] : written) {
    if (format == "dbf") {
      write_dbf(target, *student, folder);
    } else {
      write_dense(target, *student, options.export_, folder);
    }
    write_model_card(target, {.origin = folder}, format);
  }
  print_written(written);
}

// What a checkpoint tells of itself, and its run, where it lies in one.
ModelCard card_of(const Checkpoint& checkpoint, const HfFolder& teacher) {
  ModelCard card{
      .origin = teacher, .settings = checkpoint.fingerprint, .step = checkpoint.position.step};
  const fs::path config = config_of_run(checkpoint.folder);
  if (!config.empty()) card.run = RunFolder(config.parent_path()).read_run_json();
  card.bytes = card.run.value("summary", Json::object()).value("bytes", Json());
  return card;
}

}  // namespace

fs::path config_of_run(const fs::path& source) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(source, ignored);
  const bool is_run = path_exists(RunFolder(source).checkpoints());
  const RunFolder run(is_run ? whole : whole.parent_path().parent_path());
  const bool is_known = run.root() == whole || path_exists(source / "manifest.json");
  return is_known && path_exists(run.config()) ? run.config() : fs::path();
}

void export_checkpoint(const RunOptions& options, const OptionTree& tree, const fs::path& source,
                       const fs::path& output) {
  if (output.empty()) throw UsageError("--output was given an empty path", "give a folder");
  if (!path_exists(source)) throw InputError(source.string() + " does not exist");
  if (path_exists(source / "config.json")) {
    export_packed_folder(options, tree, source, output);
    return;
  }
  const Checkpoint checkpoint = find_checkpoint(source);
  if (options.model.path.empty()) {
    throw UsageError("model.path is not set: an export needs the model the run began with",
                     "add model.path=FOLDER");
  }
  HfFolder teacher(options.model.path);
  const ModelSpec spec = parse_model_spec(teacher.config());
  row_formats(options.export_, spec.tied_embeddings);
  if (options.export_.writes("dbf")) {
    const auto residual = checkpoint.fingerprint.find("quant.residual");
    const bool one = residual != checkpoint.fingerprint.end() && residual->second == "false";
    require_dbf(spec, one ? 1 : 2);
  }
  const auto written = targets(options.export_.formats, output, source, options.model.path);
  teacher.open_tensors();
  const auto hash = checkpoint.fingerprint.find(kTeacherKey);
  if (hash != checkpoint.fingerprint.end() && hash->second != teacher.content_hash()) {
    throw UsageError(options.model.path.string() + " is not the model that the run of " +
                         checkpoint.folder.string() + " began with",
                     "give it as model.path=FOLDER");
  }
  Decoder decoder = load_open_decoder(teacher, spec, at::kFloat, at::kCPU);
  const StateReader state = open_state(checkpoint);
  const std::vector<LayerPlan> plans = plans_of_state(state, decoder);
  Student student(std::move(decoder), plans);
  load_weights(state, student);
  log_info("step " + std::to_string(checkpoint.position.step) + " from " +
           checkpoint.folder.string());
  const QuantOptions quant = quant_of(checkpoint, options.quant);
  ModelCard card = card_of(checkpoint, teacher);
  if (!card.run.empty()) card.options = &options;
  for (const auto& [format, folder] : written) {
    if (format == "dense") {
      write_dense(folder, student, options.export_, teacher);
    } else if (format == "dbf") {
      write_dbf(folder, student, teacher);
    } else {
      card.bytes =
          export_json(write_packed(folder, student, plans, quant, options.export_, teacher));
    }
    write_model_card(folder, card, format);
  }
  print_written(written);
}

}  // namespace littlebit
