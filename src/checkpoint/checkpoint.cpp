// Finding, reading and removing training states (save.cpp writes them). Loading checks every
// tensor's shape, type and hash before it changes the first one.
#include "littlebit/checkpoint/checkpoint.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "checkpoint/names.h"
#include "littlebit/core/error.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/distributed/agreement.h"
#include "littlebit/io/json.h"
#include "littlebit/logging/console.h"
#include "littlebit/nn/scratch_tensor.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBest = "best";
constexpr uint64_t kMaxBytesOfName = 64;

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

// N of "step-N"; nothing of another name. The whole name must match: a folder that somebody else
// put here is not taken for a checkpoint.
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

// step-N of every step-N.partial, of which a killed run wrote a part. OutputFolder gives a folder
// its name in one step, so a killed save leaves step-N.partial and never half of step-N.
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

// The first MiB of a file; "" where there are none. Enough to recognise a file by: keys are written
// in alphabetical order, so "format" precedes the long list of tensors.
std::string beginning_of(const fs::path& file) {
  constexpr size_t kBytes = 1 << 20;
  std::ifstream stream(file, std::ios::binary);
  std::string bytes(kBytes, '\0');
  stream.read(bytes.data(), kBytes);
  bytes.resize(static_cast<size_t>(stream.gcount()));
  return bytes;
}

// "step-N\n" and no more.
bool names_a_step(const std::string& best) {
  return best.ends_with('\n') && step_in(std::string_view(best).substr(0, best.size() - 1));
}

}  // namespace

std::string folder_name(int64_t step) { return kPrefix + std::to_string(step); }

bool may_be_replaced(const fs::path& folder) {
  std::error_code error;
  return !path_exists(folder) || fs::is_empty(folder, error) || is_own_checkpoint(folder);
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
  // The version before everything else: another one may have other keys.
  const auto version = field<int64_t>(manifest, "version", file);
  if (version != kVersion) {
    throw InputError("checkpoint " + folder.string() + " has format " + std::to_string(version) +
                         ", this program reads format " + std::to_string(kVersion),
                     version < kVersion
                         ? "continue with the program that wrote it, or start a new output.dir"
                         : "use the program that wrote it");
  }
  const auto phase = field<Json>(manifest, "phase", file);
  Checkpoint checkpoint{.folder = folder,
                        .position = {.step = field<int64_t>(manifest, "step", file),
                                     .tokens = field<int64_t>(manifest, "tokens", file),
                                     .phase = field<std::string>(phase, "name", file),
                                     .phase_begin = field<int64_t>(phase, "begin", file)},
                        .fingerprint = field<RunFingerprint>(manifest, "trajectory", file)};
  // Not before the first step of all blocks, nor by earlier programs.
  if (manifest.contains("recent_kl")) {
    checkpoint.position.recent_kl = field<double>(manifest, "recent_kl", file);
  }
  // Written only where --resume-with changed something.
  for (const Json& change : manifest.value("changes", Json::array())) {
    checkpoint.changes.push_back(
        {field<int64_t>(change, "step", file), field<std::string>(change, "key", file),
         field<std::string>(change, "was", file), field<std::string>(change, "is", file)});
  }
  const TrainingPosition& position = checkpoint.position;
  if (position.step < 0 || position.tokens < 0 || position.phase_begin < 0 ||
      position.phase_begin > position.step) {
    throw InputError("checkpoint manifest " + file.string() + " has an impossible position");
  }
  return checkpoint;
}

std::vector<Checkpoint> list_checkpoints(const fs::path& root) {
  std::vector<Checkpoint> found;
  for (const auto& [step, folder] : step_folders(root)) {
    try {
      found.push_back(read_checkpoint(folder));
    } catch (const InputError& damaged) {
      log_warning("skipping " + folder.string() + ": " + damaged.what());
    }
  }
  // By the manifests' steps: a folder can have been copied under another name.
  std::sort(found.begin(), found.end(), [](const Checkpoint& a, const Checkpoint& b) {
    return a.position.step > b.position.step;
  });
  return found;
}

StateReader open_state(const Checkpoint& checkpoint) {
  const Json manifest = read_json_file(checkpoint.folder / kManifest);
  return {checkpoint.folder, field<Json>(manifest, "tensors", checkpoint.folder / kManifest)};
}

void load_checkpoint(const Checkpoint& checkpoint, Optimizer& optimizer) {
  c10::NoGradGuard no_grad;
  std::optional<StateReader> file;
  // Everything is checked, by all processes, before anything is changed: after a failure the
  // optimizer is fit for an older checkpoint (--resume auto).
  in_all(optimizer.communicator(), [&] {
    file.emplace(open_state(checkpoint));
    for (const GroupState& state : optimizer.states()) {
      state.visit([&](const StatePart& part) {
        file->verify(part.name, part.shape, part.values.scalar_type(), part.begin,
                     part.values.numel());
      });
    }
  });
  // Each process reads its own slices; vectors are read by all.
  for (const GroupState& state : optimizer.states()) {
    state.visit([&](const StatePart& part) {
      file->read(part.name, part.begin, part.values);
      drop_scratch_pages(part.values);
    });
  }
  // Signs are not stored: they follow from the latents. Each process makes the bits of its slice
  // and gets the others' from them.
  optimizer.refresh_bits();
}

bool has_checkpoint(const fs::path& root, int64_t step) {
  return path_exists(root / folder_name(step) / kManifest);
}

bool has_any_checkpoint(const fs::path& root) { return !step_folders(root).empty(); }

bool is_own_checkpoint(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return false;
  const auto says = [&](const fs::path& file, const std::string& words) {
    return fs::is_regular_file(file, error) && beginning_of(file).find(words) != std::string::npos;
  };
  // Marks are looked for and nothing is parsed: a damaged checkpoint is still ours, and must be
  // recognised to be removed.
  for (const char* colon : {"\":\"", "\": \""}) {  // as we write it, and indented
    if (says(folder / kManifest, std::string("\"format") + colon + kFormat + "\"")) return true;
  }
  // Where the manifest is lost: nobody else's file has moments under this name.
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (is_state_file_name(entry.path().filename().string()) && says(entry.path(), "\"exp_avg/")) {
      return true;
    }
  }
  return false;
}

void clean_checkpoints(const fs::path& root, const std::function<bool(int64_t step)>& will_write) {
  const auto stays = [&](int64_t step, const fs::path& path) {
    const std::string what = path.string() + " was not made by this program";
    if (will_write(step)) {
      throw OutputError(
          what + ", and the checkpoint of step " + std::to_string(step) + " will be written there",
          "move it away, or give another output.dir");
    }
    log_warning(what + " and is left in place");
  };
  // A folder of somebody else's is an error only where this run would have to replace it.
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
  throw OutputError(
      best.string() + " was not made by this program, and a run writes its own file there",
      "move it away, or give another output.dir");
}

void discard_checkpoints_after(const fs::path& root, int64_t step) {
  std::error_code ignored;
  // The mark first, so that a kill between the two leaves no mark of a folder that is gone.
  if (best_checkpoint(root) > step) fs::remove(root / kBest, ignored);
  for (const auto& [number, folder] : unfinished_folders(root)) clean_unfinished(folder);
  for (const auto& [number, folder] : step_folders(root)) {
    if (step_of(folder, number) <= step || !may_be_replaced(folder)) continue;
    log_warning("removing " + folder.string() + ": the run continues from step " +
                std::to_string(step));
    remove_or_warn(folder);
  }
}

void mark_best(const fs::path& root, int64_t step) {
  // In one step, as every file: the mark names one folder or the other.
  write_file(root / kBest, kPrefix + std::to_string(step) + "\n");
}

std::optional<int64_t> best_checkpoint(const fs::path& root) {
  std::error_code error;
  if (!fs::is_regular_file(root / kBest, error)) return std::nullopt;
  if (fs::file_size(root / kBest, error) > kMaxBytesOfName || error) return std::nullopt;
  // Compared with the folders that are there, and not parsed: the mark of a removed folder counts
  // for nothing.
  const std::string name = read_file(root / kBest);
  for (const auto& [step, folder] : step_folders(root)) {
    if (name == folder.filename().string() + "\n") return step;
  }
  return std::nullopt;
}

void prune_checkpoints(const fs::path& root, int64_t keep) {
  // 0 keeps all.
  if (keep <= 0) return;
  const std::vector<Checkpoint> found = list_checkpoints(root);
  const std::optional<int64_t> best = best_checkpoint(root);
  for (size_t i = static_cast<size_t>(keep); i < found.size(); ++i) {
    if (found[i].position.step != best) remove_or_warn(found[i].folder);
  }
}

}  // namespace littlebit
