// The tensors of a training state on disk: every process writes its parts into one safetensors file
// of its own, and any number of processes reads what it needs from them (docs/formats.md).
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "littlebit/io/json.h"
#include "littlebit/io/safetensors.h"
#include "littlebit/models/decoder.h"
#include "littlebit/optim/group_state.h"

namespace littlebit {

// Elements [begin, begin + count) of a tensor, under its name in `file`.
struct StoredPart {
  std::string file;
  int64_t begin = 0, count = 0;
  std::string hash;  // of its bytes
};

struct StoredTensor {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;     // of the whole
  std::vector<StoredPart> parts;  // without gaps from 0 on, in ascending order
};

// "state.safetensors" for one process, "state-00001-of-00004.safetensors" for the first of four.
std::string state_file_name(int64_t rank, int64_t world);
bool is_state_file_name(const std::string& name);

// Writes <folder>/<name> and says what is in it. `when` ("after step 5") begins the message of the
// NumericsError about a part that holds NaN or infinite values. OutputError where it cannot be
// written, or was cancelled meanwhile (nullptr: never). No more threads are used than the calling
// one.
std::vector<StoredTensor> write_state(const std::filesystem::path& folder, const std::string& name,
                                      std::span<const StatePart> parts, const std::string& when,
                                      const std::atomic<bool>* cancelled = nullptr);

// The list of all processes' files as one, in the manifest's form, and back. merge: every tensor
// once, its parts by their place.
std::vector<StoredTensor> merge_stored(std::vector<std::vector<StoredTensor>> of_each_process);
Json stored_json(const std::vector<StoredTensor>& tensors);
std::vector<StoredTensor> stored_from_json(
    const Json& list);  // nlohmann's exception where it is none

// Reads a state by its manifest's list. The files are mapped; what is not asked for is not read.
class StateReader {
 public:
  // InputError: `list` is not what stored_json gives, parts leave a gap, a file is missing, or has
  // another type or number of elements than the list says.
  StateReader(const std::filesystem::path& folder, const Json& list);

  const StoredTensor* find(const std::string& name) const;  // nullptr where there is none

  // That the tensor is there in this shape and type, and the parts that hold [begin, begin + count)
  // have the content they were written with. InputError naming the tensor.
  void verify(const std::string& name, std::span<const int64_t> shape, at::ScalarType dtype,
              int64_t begin, int64_t count) const;

  // Elements [begin, begin + into.numel()) of a tensor that was verified; `into` flat, of its type.
  void read(const std::string& name, int64_t begin, const at::Tensor& into) const;

 private:
  const StoredTensor& require(const std::string& name) const;
  std::filesystem::path folder_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, StoredTensor> tensors_;
};

// Ranks and paths of every layer of `decoder` as the state has them. InputError naming the layer
// that is missing or has other widths.
std::vector<LayerPlan> plans_of_state(const StateReader& state, Decoder& decoder);

// Signs, scales, biases and norms without an optimizer. Everything is verified first.
void load_weights(const StateReader& state, Student& student);

}  // namespace littlebit
