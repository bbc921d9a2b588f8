// Which files of a model folder hold tensors, and one table of all of them. Nothing outside the
// folder is ever opened: shard names come from a file and are refused when they are more than a
// plain file name.
#include "littlebit/io/hf_folder.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/place.h"
#include "littlebit/core/strings.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 1u << 20;
constexpr char kConfig[] = "config.json";
constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr char kPrefix[] = "model.";
constexpr char kAdapter[] = "adapter_config.json";
constexpr char kIndexHint[] =
    "index and tensor files do not belong together: download both again, from one revision";

// The tensor files of a folder, before any is opened.
struct TensorFiles {
  bool has_index = false;          // the shards are those the index names
  std::vector<std::string> names;  // else: every *.safetensors that could be meant
};

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::vector<std::string> file_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  if (error) throw InputError(folder.string() + ": cannot be listed: " + error.message());
  std::sort(names.begin(), names.end());
  return names;
}

// Tensors that are added to a model's, not the model's own.
bool is_adapter(const std::string& name) { return name.starts_with("adapter"); }

TensorFiles tensor_files(const fs::path& folder) {
  TensorFiles files;
  if (path_exists(folder / kSingle)) {
    files.names = {kSingle};
  } else if (path_exists(folder / kIndex)) {
    files.has_index = true;
  } else {
    for (const std::string& name : file_names(folder)) {
      if (name.ends_with(".safetensors") && !is_adapter(name)) files.names.push_back(name);
    }
  }
  return files;
}

void refuse_adapter(const fs::path& folder) {
  if (!path_exists(folder / kAdapter)) return;
  throw InputError(folder.string() + ": an adapter, not a model: " + kAdapter + " is there",
                   "merge it into its base model first (merge_and_unload of peft), and give the "
                   "folder of the whole");
}

[[noreturn]] void no_tensor_files(const fs::path& folder) {
  refuse_adapter(folder);
  constexpr std::array<const char*, 6> kOtherFormats = {".bin",  ".pt",   ".pth",
                                                        ".ckpt", ".gguf", ".h5"};
  for (const std::string& name : file_names(folder)) {
    for (const char* ending : kOtherFormats) {
      if (!name.ends_with(ending)) continue;
      throw InputError(
          folder.string() + ": no safetensors files; " + name + " is a format that is not read",
          "convert the model to safetensors, for instance in Python: "
          "AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(NEW_DIR)");
    }
  }
  throw InputError(folder.string() + ": no tensor files: expected " + kSingle + " or " + kIndex,
                   "download the model's *.safetensors files into the folder");
}

// Tensor name -> shard file name, as the index says.
std::map<std::string, std::string> read_weight_map(const fs::path& folder) {
  const std::string source = (folder / kIndex).string();
  const Json index = read_json_file(folder / kIndex);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object() ||
      index["weight_map"].empty()) {
    throw InputError(source + ": expected an object whose \"weight_map\" maps tensors to files",
                     kIndexHint);
  }
  std::map<std::string, std::string> shards;
  const Json& weight_map = index["weight_map"];
  for (const auto& [tensor, value] : weight_map.items()) {
    const std::string shard = get_string(weight_map, tensor, source + ": weight_map");
    if (shard.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      throw InputError(source + ": the file of tensor \"" + tensor + "\" must lie in the folder: " +
                           to_json_line(value) + " is not a plain file name",
                       kIndexHint);
    }
    if (!shard.ends_with(".safetensors")) {
      throw InputError(source + ": the file of tensor \"" + tensor +
                           "\" must end in .safetensors, found " + to_json_line(value),
                       kIndexHint);
    }
    shards[tensor] = shard;
  }
  return shards;
}

std::set<std::string> shard_names(const std::map<std::string, std::string>& weight_map) {
  std::set<std::string> names;
  for (const auto& [tensor, shard] : weight_map) names.insert(shard);
  return names;
}

// The names a tensor may go by, the given one first.
std::array<std::string, 2> spellings(const std::string& name) {
  return {name, name.starts_with(kPrefix) ? name.substr(sizeof(kPrefix) - 1) : kPrefix + name};
}

// What somebody meant who gave this for a folder.
std::string missing_folder_hint(const std::string& name) {
  if (name.find("://") != std::string::npos) {
    return "that is an address: download the model first, then give its folder";
  }
  if (name.find_first_of("*?[") != std::string::npos) {
    return "globs are not supported here: give one folder";
  }
  const auto slashes = std::count(name.begin(), name.end(), '/');
  std::error_code unknown;
  if (slashes == 1 && !name.starts_with('/') && !name.starts_with('.') &&
      !fs::is_directory(fs::path(name).parent_path(), unknown)) {
    return "a model of that name on the Hugging Face Hub must be downloaded first, for instance "
           "`huggingface-cli download " +
           name + " --local-dir models/" + fs::path(name).filename().string() +
           "`; then give the folder";
  }
  return "give a folder on this machine; nothing is downloaded";
}

}  // namespace

HfFolder::HfFolder(const fs::path& folder)
    : folder_(folder), used_lock_(std::make_unique<std::mutex>()) {
  const std::string name = folder.string();
  if (!path_exists(folder)) {
    throw InputError(name + ": no such folder", missing_folder_hint(name));
  }
  if (!is_folder(folder)) {
    throw InputError(name + ": not a folder",
                     "give the folder that holds config.json and the tensor files");
  }
  if (!path_exists(folder / kConfig)) {
    refuse_adapter(folder);
    throw InputError(name + ": no config.json in this folder",
                     "give the folder of a Hugging Face model");
  }
  config_ = std::make_unique<Json>(read_json_file(folder / kConfig, kMaxConfigBytes));
  if (!config_->is_object()) {
    throw InputError((folder / kConfig).string() + ": expected a JSON object");
  }
}

HfFolder::~HfFolder() = default;
HfFolder::HfFolder(HfFolder&&) noexcept = default;

bool HfFolder::has_tensor_files() const {
  const TensorFiles files = tensor_files(folder_);
  return files.has_index || !files.names.empty();
}

void HfFolder::open_tensors() {
  if (opened_) return;
  files_.clear();  // of an attempt that failed
  tensors_.clear();
  const TensorFiles found = tensor_files(folder_);
  if (!found.has_index) {
    if (found.names.empty()) no_tensor_files(folder_);
    if (found.names.size() > 1) {
      throw InputError(folder_.string() + ": several safetensors files and no " + kIndex + ": " +
                           join(found.names, ", "),
                       "add the model's index file");
    }
    files_.push_back(std::make_unique<SafetensorsFile>(folder_ / found.names[0]));
    for (const TensorView& tensor : files_[0]->tensors()) tensors_[tensor.name] = &tensor;
    opened_ = true;
    return;
  }

  const std::map<std::string, std::string> weight_map = read_weight_map(folder_);
  for (const std::string& shard : shard_names(weight_map)) {
    if (!path_exists(folder_ / shard)) {
      throw InputError((folder_ / shard).string() + ": missing, though " + kIndex + " names it",
                       "download the missing file");
    }
    files_.push_back(std::make_unique<SafetensorsFile>(folder_ / shard));
    for (const TensorView& tensor : files_.back()->tensors()) {
      const auto entry = weight_map.find(tensor.name);
      if (entry == weight_map.end()) continue;
      if (entry->second != shard) {
        throw InputError(folder_.string() + ": tensor \"" + tensor.name + "\" is in " + shard +
                             ", though " + kIndex + " says " + entry->second,
                         kIndexHint);
      }
      tensors_[tensor.name] = &tensor;
    }
  }
  for (const auto& [tensor, shard] : weight_map) {
    if (tensors_.count(tensor) == 0) {
      throw InputError((folder_ / shard).string() + ": tensor \"" + tensor +
                           "\" is not there, though " + kIndex + " says so",
                       kIndexHint);
    }
  }
  opened_ = true;
}

const TensorView* HfFolder::find(const std::string& name) const {
  LB_ASSERT(opened_, "open_tensors() first");
  for (const std::string& spelling : spellings(name)) {
    const auto found = tensors_.find(spelling);
    if (found == tensors_.end()) continue;
    const std::lock_guard lock(*used_lock_);
    used_.insert(spelling);
    return found->second;
  }
  return nullptr;
}

const TensorView& HfFolder::require(const std::string& name) const {
  if (const TensorView* tensor = find(name)) return *tensor;
  const std::vector<std::string> known = names();
  const std::optional<std::string> near = nearest_name(name, known);
  throw InputError(folder_.string() + ": tensor \"" + name + "\" is missing",
                   near ? "the closest name there is \"" + *near + "\""
                        : "config.json and the tensor files may not belong together");
}

std::vector<std::string> HfFolder::names() const {
  std::vector<std::string> all;
  for (const auto& [name, tensor] : tensors_) all.push_back(name);
  return all;
}

std::vector<std::string> HfFolder::unused() const {
  std::vector<std::string> left;
  for (const auto& [name, tensor] : tensors_) {
    if (used_.count(name) == 0) left.push_back(name);
  }
  return left;
}

std::string HfFolder::content_hash() const {
  if (!hash_.empty()) return hash_;
  TensorFiles found = tensor_files(folder_);
  std::set<std::string> files(found.names.begin(), found.names.end());
  if (found.has_index) {
    files = shard_names(read_weight_map(folder_));
    files.insert(kIndex);
  }
  files.insert(kConfig);
  Hasher hasher;
  for (const std::string& name : files)
    hasher.update(name + "\n" + file_hash(folder_ / name) + "\n");
  return hash_ = hasher.hex();
}

uint64_t HfFolder::tensor_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors_) bytes += tensor->data.size();
  return bytes;
}

}  // namespace littlebit
