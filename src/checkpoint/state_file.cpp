// Parts of tensors into one file and out of several. A part has a hash of its own, so a reader
// verifies what it takes and nothing else.
#include "littlebit/checkpoint/state_file.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/hash.h"
#include "littlebit/core/kill_point.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/nn/scratch_tensor.h"
#include "littlebit/nn/tensor_io.h"

namespace littlebit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHint = "resume from an older checkpoint (--resume DIR)";

int64_t numel_of(std::span<const int64_t> shape) {
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  return numel;
}

std::span<const std::byte> bytes_of(const at::Tensor& contiguous) {
  return {static_cast<const std::byte*>(contiguous.const_data_ptr()), contiguous.nbytes()};
}

std::optional<Dtype> dtype_by_name(const std::string& name) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kF64, Dtype::kBF16, Dtype::kF16, Dtype::kU8}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  return std::nullopt;
}

StoredTensor stored_tensor(const Json& entry) {
  StoredTensor tensor{.name = entry.at("name").get<std::string>(),
                      .dtype = Dtype::kOther,
                      .shape = entry.at("shape").get<std::vector<int64_t>>()};
  if (const auto dtype = dtype_by_name(entry.at("dtype").get<std::string>())) tensor.dtype = *dtype;
  for (const Json& part : entry.at("parts")) {
    tensor.parts.push_back({part.at("file").get<std::string>(), part.at("begin").get<int64_t>(),
                            part.at("count").get<int64_t>(), part.at("hash").get<std::string>()});
  }
  return tensor;
}

// all_finite() by the calling thread alone: pieces of this size are not divided among threads,
// which belong to the training while a checkpoint is written beside it.
bool all_finite_in_pieces(const at::Tensor& contiguous) {
  constexpr int64_t kPiece = 1 << 15;
  const at::Tensor flat = contiguous.view({-1});
  for (int64_t begin = 0; begin < flat.numel(); begin += kPiece) {
    if (!all_finite(flat.narrow(0, begin, std::min(kPiece, flat.numel() - begin)))) return false;
  }
  return true;
}

// Whether the parts are all of the tensor, one behind the other. Counts are compared by
// subtraction, which cannot overflow, whatever a damaged manifest says.
bool is_complete(const StoredTensor& tensor) {
  int64_t end = 0;
  for (const int64_t size : tensor.shape) {
    if (size < 0) return false;
  }
  for (const StoredPart& part : tensor.parts) {
    if (part.begin != end || part.count < 0 || part.count > numel_of(tensor.shape) - end) {
      return false;
    }
    end += part.count;
  }
  return end == numel_of(tensor.shape);
}

}  // namespace

std::string state_file_name(int64_t rank, int64_t world) {
  if (world == 1) return "state.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "state-%05lld-of-%05lld.safetensors",
                static_cast<long long>(rank + 1), static_cast<long long>(world));
  return name;
}

bool is_state_file_name(const std::string& name) {
  return name.starts_with("state") && name.ends_with(".safetensors");
}

std::vector<StoredTensor> write_state(const fs::path& folder, const std::string& name,
                                      std::span<const StatePart> parts, const std::string& when,
                                      const std::atomic<bool>* cancelled) {
  SafetensorsWriter writer(folder / name);
  // The header comes first in the file, so every tensor is declared before one is written.
  for (const StatePart& part : parts) {
    writer.declare(part.name, dtype_of(part.values.scalar_type()),
                   part.is_whole() ? part.shape : std::vector<int64_t>{part.values.numel()});
  }
  std::vector<StoredTensor> stored;
  for (const StatePart& part : parts) {
    if (cancelled != nullptr && *cancelled) {
      throw OutputError("cannot write " + (folder / name).string() + ": the run has ended");
    }
    kill_point("write");
    // One tensor at a time is on the host and hashed: the hash is of what was checked and is being
    // written.
    const at::Tensor values = part.values.cpu().contiguous();
    // Optimizer steps refuse gradients that are not finite; this keeps a state that broke in
    // another way from replacing a good checkpoint.
    if (!all_finite_in_pieces(values)) {
      throw NumericsError(
          when + " " + part.name + " holds NaN or infinite values; nothing of this step was saved",
          "continue from the last checkpoint with a lower rate: --resume auto "
          "--resume-with optim.learning_rate=RATE");
    }
    write_tensor(writer, values);
    stored.push_back({part.name,
                      dtype_of(values.scalar_type()),
                      part.shape,
                      {{name, part.begin, values.numel(), content_hash(bytes_of(values))}}});
    drop_scratch_pages(values);
  }
  writer.commit();
  return stored;
}

// A matrix that lies across the border of slices is in several files, a part in each; here they
// become one tensor again.
std::vector<StoredTensor> merge_stored(std::vector<std::vector<StoredTensor>> of_each_process) {
  std::vector<StoredTensor> merged;
  std::map<std::string, size_t> places;
  for (std::vector<StoredTensor>& tensors : of_each_process) {
    for (StoredTensor& tensor : tensors) {
      const auto [place, is_new] = places.emplace(tensor.name, merged.size());
      if (is_new) {
        merged.push_back(std::move(tensor));
      } else {
        std::vector<StoredPart>& parts = merged[place->second].parts;
        parts.insert(parts.end(), tensor.parts.begin(), tensor.parts.end());
      }
    }
  }
  for (StoredTensor& tensor : merged) {
    // is_complete() walks over them in this order.
    std::sort(tensor.parts.begin(), tensor.parts.end(),
              [](const StoredPart& a, const StoredPart& b) { return a.begin < b.begin; });
  }
  return merged;
}

Json stored_json(const std::vector<StoredTensor>& tensors) {
  Json list = Json::array();
  for (const StoredTensor& tensor : tensors) {
    Json parts = Json::array();
    for (const StoredPart& part : tensor.parts) {
      parts.push_back(
          {{"file", part.file}, {"begin", part.begin}, {"count", part.count}, {"hash", part.hash}});
    }
    list.push_back({{"name", tensor.name},
                    {"dtype", dtype_name(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"parts", std::move(parts)}});
  }
  return list;
}

std::vector<StoredTensor> stored_from_json(const Json& list) {
  std::vector<StoredTensor> tensors;
  for (const Json& entry : list) tensors.push_back(stored_tensor(entry));
  return tensors;
}

StateReader::StateReader(const fs::path& folder, const Json& list) : folder_(folder) {
  const auto damaged = [&](const std::string& what) {
    throw InputError("checkpoint " + folder_.string() + " is damaged: " + what, kHint);
  };
  try {
    for (StoredTensor& tensor : stored_from_json(list)) {
      const std::string name = tensor.name;
      tensors_[name] = std::move(tensor);
    }
  } catch (const nlohmann::json::exception&) {
    damaged("its manifest's list of tensors cannot be read");
  }
  for (const auto& [name, tensor] : tensors_) {
    if (!is_complete(tensor))
      damaged("the parts of tensor " + name + " do not make up the whole tensor");
    for (const StoredPart& part : tensor.parts) {
      // A manifest must not name files outside its folder.
      if (part.file.find('/') != std::string::npos) damaged("a state file is named " + part.file);
      std::unique_ptr<SafetensorsFile>& file = files_[part.file];
      if (!file) file = std::make_unique<SafetensorsFile>(folder_ / part.file);
      const TensorView* view = file->find(name);
      if (!view) damaged(part.file + " has no tensor " + name);
      // The file's own header must agree: manifest and file may come from different saves, after a
      // copy by hand.
      if (view->dtype != tensor.dtype || view->numel() != part.count) {
        damaged("tensor " + name + " in " + part.file + " is " + view->dtype_text() + " " +
                shape_text(view->shape) + ", not what the manifest says");
      }
    }
  }
}

const StoredTensor* StateReader::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const StoredTensor& StateReader::require(const std::string& name) const {
  const StoredTensor* tensor = find(name);
  if (tensor) return *tensor;
  throw InputError("checkpoint " + folder_.string() + " has no tensor " + name, kHint);
}

void StateReader::verify(const std::string& name, std::span<const int64_t> shape,
                         at::ScalarType dtype, int64_t begin, int64_t count) const {
  const StoredTensor& tensor = require(name);
  if (!std::equal(shape.begin(), shape.end(), tensor.shape.begin(), tensor.shape.end()) ||
      tensor.dtype != dtype_of(dtype)) {
    throw InputError("tensor " + name + " of checkpoint " + folder_.string() + " is " +
                         dtype_name(tensor.dtype) + " " + shape_text(tensor.shape) + ", expected " +
                         dtype_name(dtype_of(dtype)) + " " + shape_text(shape),
                     kHint);
  }
  for (const StoredPart& part : tensor.parts) {
    // A part's hash is of the whole part, so one that overlaps the range is read whole. Parts of
    // other processes' slices are left alone.
    if (part.begin >= begin + count || part.begin + part.count <= begin) continue;
    if (content_hash(files_.at(part.file)->find(name)->data) == part.hash) continue;
    throw InputError("tensor " + name + " of checkpoint " + folder_.string() +
                         " is damaged: its content does not have the hash in the manifest",
                     kHint);
  }
}

void StateReader::read(const std::string& name, int64_t begin, const at::Tensor& into) const {
  const int64_t end = begin + into.numel();
  for (const StoredPart& part : require(name).parts) {
    // The borders of parts are those of the processes that wrote, begin and end those of the one
    // that reads: they need not have anything in common.
    const int64_t from = std::max(begin, part.begin), to = std::min(end, part.begin + part.count);
    if (from >= to) continue;
    const at::Tensor values = map_tensor(*files_.at(part.file)->find(name)).view({-1});
    into.narrow(0, from - begin, to - from).copy_(values.narrow(0, from - part.begin, to - from));
  }
}

std::vector<LayerPlan> plans_of_state(const StateReader& state, Decoder& decoder) {
  std::vector<LayerPlan> plans;
  decoder.visit_linears([&](LinearSlot& slot) {
    LayerPlan plan{.name = slot.name, .d_in = slot.d_in, .d_out = slot.d_out};
    const StoredTensor* u = state.find(slot.name + ".U");
    const StoredTensor* v = state.find(slot.name + ".V");
    if (!u || !v || u->shape.size() != 2 || v->shape.size() != 2 || u->shape[0] != slot.d_out ||
        v->shape[1] != slot.d_in || u->shape[1] < 1 || u->shape[1] != v->shape[0]) {
      throw InputError("the checkpoint has no layer " + slot.name + " of " +
                           std::to_string(slot.d_out) + " x " + std::to_string(slot.d_in),
                       "is model.path the model that its run began with?");
    }
    // [d_out, r] and [r, d_in]: a checkpoint knows its ranks from its shapes.
    plan.rank = u->shape[1];
    plan.paths = state.find(slot.name + ".U_R") ? 2 : 1;
    plans.push_back(std::move(plan));
  });
  return plans;
}

void load_weights(const StateReader& state, Student& student) {
  c10::NoGradGuard no_grad;
  // For exports: of latents only the signs are needed, one matrix at a time.
  for (const bool is_checked : {false, true}) {  // everything before anything is changed
    for (StudentGroup& group : student.groups()) {
      const at::ScalarType dtype = group.vectors().scalar_type();
      for (const Segment& matrix : group.layout().latents) {
        if (!is_checked) {
          state.verify(matrix.name, matrix.shape, dtype, 0, matrix.numel);
          continue;
        }
        const at::Tensor latents = at::empty({matrix.numel}, group.vectors().options());
        state.read(matrix.name, 0, latents);
        group.set_signs(matrix, latents.view(matrix.shape));
      }
      group.visit_vectors([&](VectorKind, const std::string& name, const at::Tensor& values) {
        if (!is_checked) {
          state.verify(name, values.sizes(), dtype, 0, values.numel());
        } else {
          state.read(name, 0, values.view({-1}));
        }
      });
    }
  }
}

}  // namespace littlebit
