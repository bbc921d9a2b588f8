// The cache's file name holds a hash of everything that initial factors depend on, so a file that
// is there is the right one; other settings find no file. A hash of its content in its metadata
// tells damage.
#include "factor_cache.h"

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/place.h"
#include "littlebit/core/read_file.h"
#include "littlebit/core/write_file.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/tensor_io.h"
#include "littlebit/quant/starts.h"

namespace littlebit {

namespace fs = std::filesystem;

namespace {

constexpr const char* kHash = "content_hash";

// The tensors of the file, one after the other, become its hash.
void add_tensor(Hasher& hash, const std::string& name, std::span<const int64_t> shape, Dtype dtype,
                std::span<const std::byte> bytes) {
  hash.update(name + " " + shape_text(shape) + " " + dtype_name(dtype) + "\n");
  hash.update(bytes);
}

// What has that name is ours, whole or damaged, where it begins as a safetensors file does.
bool may_be_replaced(const fs::path& file) {
  if (!path_exists(file)) return true;
  constexpr size_t kBrace = 8;  // behind the length of the header
  try {
    const MappedFile mapped(file);
    return mapped.bytes().size() <= kBrace || static_cast<char>(mapped.bytes()[kBrace]) == '{';
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace

fs::path factor_cache_file(const Session& session, const fs::path& folder) {
  RunOptions options = session.options;
  OptionTree tree;
  options.declare(tree);
  const Start& start = find_start(options.quant.init);
  Hasher key;
  key.update("littlebit factors 3 " + session.teacher_folder->content_hash() + "\n");
  // An option of another start does not change the key.
  for (const std::string& option : tree.deciding(Decides::kStart)) {
    if (depends_on(start, option)) key.update(option + "=" + tree.text(option) + "\n");
  }
  // Ranks, not bits per weight: two budgets that come to the same ranks share their factors.
  for (const LayerPlan& plan : session.plans) {
    key.update(plan.name + " " + std::to_string(plan.rank) + " " + std::to_string(plan.paths) +
               "\n");
  }
  return folder / ("factors-" + key.hex() + ".safetensors");
}

void write_factor_cache(const fs::path& file, std::span<const LayerPlan> plans, Student& student,
                        const LayerCache& layers) {
  create_folders(file.parent_path());
  if (!may_be_replaced(file)) {
    throw OutputError(file.string() + " exists and is not a file of initial factors",
                      "move it away");
  }
  std::vector<std::unique_ptr<SafetensorsFile>> files;
  std::map<std::string, const TensorView*> parts;
  for (const LayerPlan& plan : plans) {
    const fs::path path = layers.file_of(plan);
    if (!layers.keeps() || !path_exists(path)) {
      throw OutputError("layer " + plan.name + " could not be kept in " + layers.folder().string());
    }
    // Copied from the layers' files, which hold the factors as they were computed: the student
    // holds only their signs.
    files.push_back(std::make_unique<SafetensorsFile>(path));
    for (const TensorView& view : files.back()->tensors()) parts.emplace(view.name, &view);
  }
  std::vector<std::pair<std::string, at::Tensor>> tensors;
  const auto add = [&](const Segment& segment) {
    tensors.emplace_back(segment.name, map_tensor(*parts.at(segment.name)).view(segment.shape));
  };
  for (const StudentGroup& group : student.groups()) {
    const GroupLayout& layout = group.layout();
    for (const Segment& segment : layout.latents) add(segment);
    for (const Segment& segment : layout.vectors) {  // biases and norms are the teacher's
      if (layout.kind(segment) == VectorKind::kScale) add(segment);
    }
  }
  write_factors(file, tensors);
}

void write_factors(const fs::path& file,
                   const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                   std::map<std::string, std::string> metadata) {
  SafetensorsWriter writer(file);
  Hasher hash;
  for (const auto& [name, tensor] : tensors) {
    const Dtype dtype = dtype_of(tensor.scalar_type());
    const at::Tensor stored = tensor.cpu().contiguous();
    add_tensor(hash, name, tensor.sizes(), dtype,
               {static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes()});
    writer.declare(name, dtype, tensor.sizes().vec());
  }
  metadata[kHash] = hash.hex();
  writer.set_metadata(std::move(metadata));
  for (const auto& [name, tensor] : tensors) write_tensor(writer, tensor);
  writer.commit();
}

void verify_factors(const fs::path& path) {
  const SafetensorsFile file(path);
  Hasher hash;
  for (const TensorView& view : file.tensors()) {
    add_tensor(hash, view.name, view.shape, view.dtype, view.data);
  }
  const auto stored = file.metadata().find(kHash);
  if (stored != file.metadata().end() && stored->second == hash.hex()) return;
  throw InputError(path.string() + " is damaged: its tensors do not have the hash in its metadata");
}

}  // namespace littlebit
