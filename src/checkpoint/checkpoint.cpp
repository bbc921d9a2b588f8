// Writing, finding, reading and removing training states. A folder gets its name once every byte is
// written, and loading checks every tensor's shape, type and hash before it changes the first one.
#include "littlebit/checkpoint/checkpoint.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "littlebit/core/error.h"
#include "littlebit/core/file.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/place.h"
#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/logging/console.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr const char* kFormat = "littlebit-checkpoint";
constexpr const char* kState = "state.safetensors";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kPrefix = "step-";
constexpr const char* kBest = "best";
constexpr uint64_t kMostBytesOfName = 64;

struct NamedTensor {
  std::string name;
  at::Tensor tensor;  // a view of the optimizer's or the student's storage
};

// Every tensor of the state in a fixed order.
std::vector<NamedTensor> state_tensors(Optimizer& optimizer) {
  std::vector<NamedTensor> tensors;
  for (size_t g = 0; g < optimizer.groups().size(); ++g) {
    const OptimizerGroup& state = optimizer.groups()[g];
    const StudentGroup& group = optimizer.student().groups()[g];
    const auto add = [&](const std::vector<Segment>& segments, const std::string& prefix,
                         const at::Tensor& flat) {
      for (const Segment& segment : segments)
        tensors.push_back({prefix + segment.name, segment.view(flat)});
    };
    add(group.layout().latents, "", state.latents);
    add(group.layout().vectors, "", group.vectors());
    add(group.layout().latents, "exp_avg/", state.latent_average);
    add(group.layout().vectors, "exp_avg/", state.vector_average);
    add(group.layout().latents, "exp_avg_sq/", state.latent_square);
    add(group.layout().vectors, "exp_avg_sq/", state.vector_square);
  }
  return tensors;
}

std::string folder_name(int64_t step) { return kPrefix + std::to_string(step); }

// A key of the manifest; InputError where it is missing or of another type.
template <class T>
T field(const Json& object, const char* key, const fs::path& file) {
  try {
    return object.at(key).get<T>();
  } catch (const nlohmann::json::exception&) {
    throw InputError("checkpoint manifest " + file.string() + " has no usable \"" + key + "\"",
                     "the file is damaged; resume from an older checkpoint");
  }
}

// N of "step-N"; nothing of another name.
std::optional<int64_t> step_in(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = -1;
  const char *begin = name.data() + std::string_view(kPrefix).size(),
             *end = name.data() + name.size();
  const auto [stop, code] = std::from_chars(begin, end, step);
  if (code != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

// Every folder <root>/step-N by N.
std::map<int64_t, fs::path> step_folders(const fs::path& root) {
  std::map<int64_t, fs::path> folders;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(root, error)) {
    if (const auto step = step_in(entry.path().filename().string())) folders[*step] = entry.path();
  }
  return folders;
}

// The step of a checkpoint by its manifest; where that is damaged, by its name.
int64_t step_of(const fs::path& folder, int64_t by_name) {
  try {
    return read_checkpoint(folder).position.step;
  } catch (const InputError&) {
    return by_name;
  }
}

// step-N of every step-N.partial, of which a killed run wrote a part.
std::map<int64_t, fs::path> unfinished_folders(const fs::path& root) {
  std::map<int64_t, fs::path> folders;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(root, error)) {
    if (entry.path().extension() != ".partial") continue;
    const fs::path whole = root / entry.path().stem();
    if (const auto step = step_in(whole.filename().string())) folders[*step] = whole;
  }
  return folders;
}

void remove_or_warn(const fs::path& folder) {
  try {
    remove_folder(folder);
  } catch (const OutputError& failed) {
    log_warning(failed.what());
  }
}

// The first MiB of a file; "" where there are none.
std::string beginning_of(const fs::path& file) {
  constexpr size_t kBytes = 1 << 20;
  std::ifstream stream(file, std::ios::binary);
  std::string bytes(kBytes, '\0');
  stream.read(bytes.data(), kBytes);
  bytes.resize(static_cast<size_t>(stream.gcount()));
  return bytes;
}

bool may_be_replaced(const fs::path& folder) {
  std::error_code error;
  return !path_exists(folder) || fs::is_empty(folder, error) || is_own_checkpoint(folder);
}

// "step-N\n" and no more.
bool names_a_step(const std::string& best) {
  return best.ends_with('\n') && step_in(std::string_view(best).substr(0, best.size() - 1));
}

}  // namespace

fs::path save_checkpoint(const fs::path& root, Optimizer& optimizer,
                         const TrainingPosition& position, const Trajectory& trajectory,
                         const std::vector<TrajectoryChange>& changes) {
  c10::NoGradGuard no_grad;
  create_lasting_folders(root);
  const fs::path folder = root / folder_name(position.step);
  if (!may_be_replaced(folder)) {
    throw OutputError("cannot write the checkpoint " + folder.string() +
                          ": something of that name is not of this program",
                      "move it away");
  }
  OutputFolder output(folder);
  const std::vector<NamedTensor> tensors = state_tensors(optimizer);

  SafetensorsWriter writer(output.staging() / kState);
  for (const NamedTensor& named : tensors) {
    writer.declare(named.name, dtype_of(named.tensor.scalar_type()), named.tensor.sizes().vec());
  }
  Json entries = Json::array();
  for (const NamedTensor& named : tensors) {
    const at::Tensor bytes = named.tensor.cpu().contiguous();
    if (bytes.is_floating_point() && !all_finite(bytes)) {
      throw NumericsError("after step " + std::to_string(position.step) + " " + named.name +
                              " holds NaN or infinite values; nothing of this step was saved",
                          "go on from the last checkpoint with a lower rate: --resume auto "
                          "--resume-with optim.learning_rate=RATE");
    }
    write_tensor(writer, bytes);
    entries.push_back(
        {{"name", named.name},
         {"dtype", dtype_name(dtype_of(bytes.scalar_type()))},
         {"shape", bytes.sizes().vec()},
         {"file", kState},
         {"hash", content_hash(std::as_bytes(std::span(
                      static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes())))}});
  }
  writer.commit();
  Json changed = Json::array();
  for (const TrajectoryChange& change : changes) {
    changed.push_back(
        {{"step", change.step}, {"key", change.key}, {"was", change.was}, {"is", change.is}});
  }
  Json manifest = {{"format", kFormat},        {"version", kVersion},
                   {"step", position.step},    {"tokens", position.tokens},
                   {"trajectory", trajectory}, {"tensors", std::move(entries)}};
  if (!changed.empty()) manifest["changes"] = std::move(changed);
  write_file(output.staging() / kManifest, to_json_pretty(manifest));
  output.commit();
  return folder;
}

Checkpoint read_checkpoint(const fs::path& folder) {
  const fs::path file = folder / kManifest;
  if (!path_exists(file)) {
    throw InputError(
        "no training checkpoint in " + folder.string() + " (" + kManifest + " is missing)",
        "checkpoints are folders named step-N under <output.dir>/checkpoints");
  }
  const Json manifest = read_json_file(file);
  if (!manifest.is_object() || manifest.value("format", Json()) != kFormat) {
    throw InputError(file.string() + " is not a manifest of a LittleBit training checkpoint");
  }
  const auto version = field<int64_t>(manifest, "version", file);
  if (version != kVersion) {
    throw InputError("checkpoint " + folder.string() + " has version " + std::to_string(version) +
                         ", this program reads version " + std::to_string(kVersion),
                     "use the program that wrote it");
  }
  Checkpoint checkpoint{.folder = folder,
                        .position = {.step = field<int64_t>(manifest, "step", file),
                                     .tokens = field<int64_t>(manifest, "tokens", file)},
                        .trajectory = field<Trajectory>(manifest, "trajectory", file)};
  for (const Json& change : manifest.value("changes", Json::array())) {
    checkpoint.changes.push_back(
        {field<int64_t>(change, "step", file), field<std::string>(change, "key", file),
         field<std::string>(change, "was", file), field<std::string>(change, "is", file)});
  }
  if (checkpoint.position.step < 0 || checkpoint.position.tokens < 0) {
    throw InputError("checkpoint manifest " + file.string() + " has a negative position");
  }
  return checkpoint;
}

std::vector<Checkpoint> list_checkpoints(const fs::path& root) {
  std::vector<Checkpoint> found;
  for (const auto& [step, folder] : step_folders(root)) {
    try {
      found.push_back(read_checkpoint(folder));
    } catch (const InputError& damaged) {
      log_warning("passing over " + folder.string() + ": " + damaged.what());
    }
  }
  std::sort(found.begin(), found.end(), [](const Checkpoint& a, const Checkpoint& b) {
    return a.position.step > b.position.step;
  });
  return found;
}

void load_checkpoint(const Checkpoint& checkpoint, Optimizer& optimizer) {
  c10::NoGradGuard no_grad;
  const fs::path manifest_file = checkpoint.folder / kManifest;
  const Json manifest = read_json_file(manifest_file);
  const std::string hint = "resume from an older checkpoint (--resume DIR)";
  std::map<std::string, const Json*> entries;
  const Json empty = Json::array();
  const auto tensors = manifest.find("tensors");
  for (const Json& entry : tensors == manifest.end() ? empty : *tensors) {
    entries[field<std::string>(entry, "name", manifest_file)] = &entry;
  }
  const SafetensorsFile file(checkpoint.folder / kState);

  // Everything is checked before anything is changed.
  const std::vector<NamedTensor> state = state_tensors(optimizer);
  for (const NamedTensor& named : state) {
    const TensorView* view = file.find(named.name);
    const auto entry = entries.find(named.name);
    if (!view || entry == entries.end()) {
      throw InputError("checkpoint " + checkpoint.folder.string() + " has no tensor " + named.name,
                       hint);
    }
    if (view->shape != named.tensor.sizes().vec() ||
        view->dtype != dtype_of(named.tensor.scalar_type())) {
      throw InputError("tensor " + named.name + " of checkpoint " + checkpoint.folder.string() +
                           " is " + view->dtype_text() + " " + shape_text(view->shape) +
                           ", expected " + shape_text(named.tensor.sizes().vec()),
                       hint);
    }
    if (content_hash(view->data) != field<std::string>(*entry->second, "hash", manifest_file)) {
      throw InputError("tensor " + named.name + " of checkpoint " + checkpoint.folder.string() +
                           " is damaged: its content does not have the hash in the manifest",
                       hint);
    }
  }
  for (const NamedTensor& named : state) named.tensor.copy_(map_tensor(*file.find(named.name)));
  for (size_t g = 0; g < optimizer.groups().size(); ++g) {
    update_signs(optimizer.groups()[g].latents, optimizer.student().groups()[g].bits());
  }
}

void verify_checkpoint(const Checkpoint& checkpoint) {
  const fs::path manifest_file = checkpoint.folder / kManifest;
  const Json manifest = read_json_file(manifest_file);
  const SafetensorsFile file(checkpoint.state());
  const auto tensors = manifest.find("tensors");
  if (tensors == manifest.end() || !tensors->is_array()) {
    throw InputError("checkpoint manifest " + manifest_file.string() + " lists no tensors");
  }
  std::set<std::string> sound;
  for (const Json& entry : *tensors) {
    const auto name = field<std::string>(entry, "name", manifest_file);
    const TensorView* view = file.find(name);
    if (name.starts_with("exp_avg") || !view) continue;
    if (content_hash(view->data) == field<std::string>(entry, "hash", manifest_file))
      sound.insert(name);
  }
  for (const TensorView& view : file.tensors()) {
    if (view.name.starts_with("exp_avg") || sound.count(view.name) != 0) continue;
    throw InputError("tensor " + view.name + " of checkpoint " + checkpoint.folder.string() +
                         " is damaged: its content does not have the hash in the manifest",
                     "take an older checkpoint");
  }
}

bool has_checkpoint(const fs::path& root, int64_t step) {
  return path_exists(root / folder_name(step) / kManifest);
}

bool has_any_checkpoint(const fs::path& root) { return !step_folders(root).empty(); }

bool is_own_checkpoint(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return false;
  const auto says = [&](const char* file, const std::string& words) {
    return fs::is_regular_file(folder / file, error) &&
           beginning_of(folder / file).find(words) != std::string::npos;
  };
  return says(kManifest, std::string("\"format\": \"") + kFormat + "\"") ||
         says(kState, "\"exp_avg/");
}

void clean_checkpoints(const fs::path& root, const std::function<bool(int64_t step)>& will_write) {
  const auto stays = [&](int64_t step, const fs::path& path) {
    const std::string what = path.string() + " is not of this program";
    if (will_write(step)) {
      throw OutputError(
          what + ", and the checkpoint of step " + std::to_string(step) + " will be written there",
          "move it away, or give another output.dir");
    }
    log_warning(what + " and stays");
  };
  for (const auto& [step, folder] : unfinished_folders(root)) {
    if (!clean_unfinished(folder)) stays(step, folder.string() + ".partial");
  }
  for (const auto& [step, folder] : step_folders(root)) {
    if (!may_be_replaced(folder)) stays(step, folder);
  }
  std::error_code error;
  const fs::path best = root / kBest;
  if (!fs::exists(fs::symlink_status(best, error))) return;
  if (fs::is_regular_file(best, error) && names_a_step(beginning_of(best))) return;
  throw OutputError(best.string() + " is not of this program, and a run writes its own there",
                    "move it away, or give another output.dir");
}

void discard_checkpoints_after(const fs::path& root, int64_t step) {
  std::error_code ignored;
  if (best_checkpoint(root) > step) fs::remove(root / kBest, ignored);
  for (const auto& [number, folder] : unfinished_folders(root)) clean_unfinished(folder);
  for (const auto& [number, folder] : step_folders(root)) {
    if (step_of(folder, number) <= step || !may_be_replaced(folder)) continue;
    log_warning("removing " + folder.string() + ": the run goes on from step " +
                std::to_string(step));
    remove_or_warn(folder);
  }
}

void mark_best(const fs::path& root, int64_t step) {
  write_file(root / kBest, kPrefix + std::to_string(step) + "\n");
}

std::optional<int64_t> best_checkpoint(const fs::path& root) {
  std::error_code error;
  if (!fs::is_regular_file(root / kBest, error)) return std::nullopt;
  if (fs::file_size(root / kBest, error) > kMostBytesOfName || error) return std::nullopt;
  const std::string name = read_file(root / kBest);
  for (const auto& [step, folder] : step_folders(root)) {
    if (name == folder.filename().string() + "\n") return step;
  }
  return std::nullopt;
}

void prune_checkpoints(const fs::path& root, int64_t keep) {
  if (keep <= 0) return;
  const std::vector<Checkpoint> found = list_checkpoints(root);
  const std::optional<int64_t> best = best_checkpoint(root);
  for (size_t i = static_cast<size_t>(keep); i < found.size(); ++i) {
    if (found[i].position.step != best) remove_or_warn(found[i].folder);
  }
}

}  // namespace littlebit
