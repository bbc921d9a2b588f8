// Asks the decoder for the names of its tensors and notes at each tensor of the files what it is.
// What the decoder does not know stays `other`; the files' order is kept.
#include "teacher_tensors.h"

#include <algorithm>
#include <map>

#include "littlebit/core/error.h"
#include "littlebit/export/folder.h"
#include "littlebit/models/architectures.h"
#include "littlebit/models/load.h"

namespace littlebit {
namespace {

class TensorTable {
 public:
  explicit TensorTable(const HfFolder& folder) : folder_(folder) {
    for (const std::string& name : folder.names()) {
      order_.push_back(name);
      tensors_[name].view = &folder.require(name);
    }
  }

  // nullptr where the folder has no such tensor.
  TeacherTensor* claim(const std::string& name, Part part) {
    const TensorView* view = name.empty() ? nullptr : find_tensor(folder_, name);
    if (view == nullptr) return nullptr;
    TeacherTensor& tensor = tensors_.at(view->name);
    tensor.name = name;
    tensor.part = part;
    return &tensor;
  }

  void claim_rows(const TensorSource& source, Part part, size_t group, size_t layer) {
    TeacherTensor* tensor = claim(source.tensor, part);
    if (tensor == nullptr) return;
    tensor->layers.push_back({group, layer, source.row_begin});
  }

  std::vector<TeacherTensor> take() {
    std::vector<TeacherTensor> all;
    for (const std::string& name : order_) {
      TeacherTensor& tensor = tensors_.at(name);
      std::sort(tensor.layers.begin(), tensor.layers.end(),
                [](const LayerRows& a, const LayerRows& b) { return a.row_begin < b.row_begin; });
      all.push_back(std::move(tensor));
    }
    return all;
  }

 private:
  const HfFolder& folder_;
  std::vector<std::string> order_;
  std::map<std::string, TeacherTensor> tensors_;
};

}  // namespace

std::vector<TeacherTensor> teacher_tensors(const HfFolder& teacher, const ModelSpec& spec) {
  TensorTable table(teacher);
  Decoder decoder = empty_decoder(spec, at::kFloat, at::kCPU);  // its names; no tensor is loaded
  for (int64_t group = 0; group < decoder.num_groups(); ++group) {
    size_t layer = 0;
    decoder.visit_linears(group, [&](LinearSlot& slot) {
      table.claim_rows(slot.weight, &ByteTable::linears, group, layer);
      if (slot.has_bias) table.claim_rows(slot.bias, &ByteTable::biases, group, layer);
      ++layer;
    });
  }
  decoder.visit_parameters([&](Parameter& parameter) {
    TeacherTensor* tensor = table.claim(parameter.source.tensor, &ByteTable::norms);
    if (tensor != nullptr) tensor->parameter = parameter.name;
  });
  table.claim(decoder.head().weight.tensor, &ByteTable::head);
  table.claim(decoder.parts().frozen_names.positions, &ByteTable::embeddings);
  table.claim(decoder.parts().frozen_names.embedding, &ByteTable::embeddings);
  return table.take();
}

ByteTable stored_byte_table(const std::vector<TeacherTensor>& tensors) {
  ByteTable bytes;
  for (const TeacherTensor& tensor : tensors) bytes.*tensor.part += tensor.view->data.size();
  return bytes;
}

}  // namespace littlebit
