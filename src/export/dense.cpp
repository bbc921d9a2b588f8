// A student as a plain checkpoint: every tensor of the teacher, with what was trained in the place
// of what it came from. From a packed folder, whose teacher is not there: the tensors that the
// decoder has, under its own names.
#include "littlebit/export/dense.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "littlebit/core/error.h"
#include "littlebit/core/write_file.h"
#include "littlebit/export/folder.h"
#include "littlebit/export/load_packed.h"
#include "littlebit/io/safetensors_writer.h"
#include "littlebit/models/architectures.h"
#include "littlebit/nn/grouped_linear.h"
#include "littlebit/nn/tensor_io.h"
#include "model_files.h"
#include "teacher_tensors.h"
#include "tensor_blocks.h"

namespace littlebit {
namespace {

struct DenseTensor {
  std::string name;
  std::vector<int64_t> shape;
  Dtype dtype;  // as stored
  Part part;
  std::vector<LayerRows> layers;       // linears and biases
  at::Tensor value;                    // other numbers
  std::optional<GroupedRows> grouped;  // in a packed folder
  const TensorView* copied = nullptr;  // what is no floating number, byte for byte

  uint64_t bytes() const {
    uint64_t bytes = dtype_size(dtype);
    for (const int64_t size : shape) bytes *= static_cast<uint64_t>(size);
    return bytes;
  }
};

// Norm parameters as they were trained, by name.
std::map<std::string, at::Tensor> norm_parameters(const Student& student) {
  std::map<std::string, at::Tensor> parameters;
  for (const StudentGroup& group : student.groups()) {
    group.visit_vectors([&](VectorKind, const std::string& name, const at::Tensor& values) {
      parameters[name] = values;
    });
  }
  return parameters;
}

std::vector<DenseTensor> by_teacher(const HfFolder& teacher, const Student& student,
                                    at::ScalarType dtype) {
  // The text part of a multimodal model becomes a model of its own, under its own names.
  const bool part_of_more = decoder_config(teacher.config()) != teacher.config();
  const std::map<std::string, at::Tensor> parameters = norm_parameters(student);
  std::vector<DenseTensor> tensors;
  for (TeacherTensor& tensor : teacher_tensors(teacher, student.decoder().spec())) {
    if (part_of_more && tensor.name.empty()) continue;
    DenseTensor dense{.name = part_of_more ? tensor.name : tensor.view->name,
                      .shape = tensor.view->shape,
                      .dtype = dtype_of(dtype),
                      .part = tensor.part,
                      .layers = std::move(tensor.layers)};
    if (tensor.part == &ByteTable::norms) {
      dense.value = parameters.at(tensor.parameter);
    } else if (dense.layers.empty() && is_floating(tensor.view->dtype)) {
      dense.value = map_tensor(*tensor.view);
    } else if (dense.layers.empty()) {  // buffers of some old checkpoints keep their type
      dense.dtype = tensor.view->dtype;
      dense.copied = tensor.view;
    }
    tensors.push_back(std::move(dense));
  }
  return tensors;
}

std::vector<DenseTensor> by_decoder(const Student& student, at::ScalarType dtype) {
  const Decoder& decoder = student.decoder();
  std::vector<DenseTensor> tensors;
  const auto add = [&](const std::string& name, Part part, const at::Tensor& value) {
    if (!value.defined()) return;
    tensors.push_back({.name = name,
                       .shape = value.sizes().vec(),
                       .dtype = dtype_of(dtype),
                       .part = part,
                       .value = value});
  };
  const auto add_grouped = [&](const std::string& name, Part part, const GroupedRows& matrix) {
    tensors.push_back({.name = name,
                       .shape = {matrix.rows(), matrix.cols},
                       .dtype = dtype_of(dtype),
                       .part = part,
                       .grouped = matrix});
  };
  const std::string& embedding = decoder.parts().frozen_names.embedding;
  if (decoder.frozen().grouped_embedding) {
    add_grouped(embedding, &ByteTable::embeddings, *decoder.frozen().grouped_embedding);
  } else {
    add(embedding, &ByteTable::embeddings, decoder.frozen().embedding);
  }
  add(decoder.parts().frozen_names.positions, &ByteTable::embeddings, decoder.frozen().positions);
  const auto* grouped = dynamic_cast<const GroupedLinear*>(decoder.head().linear.get());
  if (decoder.spec().tied_embeddings) {
    // The embedding's.
  } else if (grouped != nullptr) {
    add_grouped(decoder.head().weight.tensor, &ByteTable::head, grouped->weight());
  } else {
    add(decoder.head().weight.tensor, &ByteTable::head, dense_weight(decoder.head()));
  }
  const std::map<std::string, at::Tensor> parameters = norm_parameters(student);
  std::map<std::string, size_t> fused;  // tensors that several layers have rows of
  Decoder names = empty_decoder(decoder.spec(), at::kFloat, at::kCPU);
  for (int64_t group = 0; group < names.num_groups(); ++group) {
    size_t layer = 0;
    names.visit_linears(group, [&](LinearSlot& slot) {
      const auto claim = [&](const TensorSource& source, Part part, std::vector<int64_t> shape) {
        if (source.row_end >= 0) shape[0] = source.rows;
        const auto [found, is_new] = fused.try_emplace(source.tensor, tensors.size());
        if (is_new) {
          tensors.push_back(
              {.name = source.tensor, .shape = shape, .dtype = dtype_of(dtype), .part = part});
        }
        tensors[found->second].layers.push_back(
            {static_cast<size_t>(group), layer, source.row_begin});
      };
      claim(slot.weight, &ByteTable::linears, {slot.d_out, slot.d_in});
      if (slot.has_bias) claim(slot.bias, &ByteTable::biases, {slot.d_out});
      ++layer;
    });
    names.visit_parameters(group, [&](Parameter& parameter) {
      add(parameter.source.tensor, &ByteTable::norms, parameters.at(parameter.name));
    });
  }
  for (DenseTensor& tensor : tensors) {
    std::sort(tensor.layers.begin(), tensor.layers.end(),
              [](const LayerRows& a, const LayerRows& b) { return a.row_begin < b.row_begin; });
  }
  return tensors;
}

void write_layers(SafetensorsWriter& writer, const DenseTensor& tensor, at::ScalarType dtype,
                  const Student& student) {
  int64_t rows = 0;
  for (const LayerRows& part : tensor.layers) {
    const LittleBitLinear& layer = *student.groups()[part.group].layers()[part.layer];
    LB_ASSERT(part.row_begin == rows, "the parts of a fused matrix follow one another");
    rows += layer.out_features();
    write_rounded(writer,
                  tensor.part == &ByteTable::linears ? layer.effective_weight() : layer.bias(),
                  dtype);
  }
  LB_ASSERT(rows == tensor.shape[0], "the parts fill the matrix");
}

}  // namespace

ByteTable export_dense(const std::filesystem::path& folder, const Student& student,
                       at::ScalarType dtype, const HfFolder& source) {
  LB_ASSERT(dtype == at::kFloat || dtype == at::kBFloat16, "fp32 or bf16");
  require_replaceable(folder);
  OutputFolder output(folder);
  write_model_files(output.staging(), source, dtype == at::kFloat ? "float32" : "bfloat16", Json());

  std::vector<DenseTensor> tensors =
      is_packed_folder(source) ? by_decoder(student, dtype) : by_teacher(source, student, dtype);
  // Wide elements first: every tensor of the file is aligned then.
  std::stable_sort(tensors.begin(), tensors.end(), [](const DenseTensor& a, const DenseTensor& b) {
    return dtype_size(a.dtype) > dtype_size(b.dtype);
  });
  ByteTable bytes;
  SafetensorsWriter writer(output.staging() / "model.safetensors");
  writer.set_metadata(export_metadata());
  for (const DenseTensor& tensor : tensors) {
    writer.declare(tensor.name, tensor.dtype, tensor.shape);
    bytes.*tensor.part += tensor.bytes();
  }
  for (const DenseTensor& tensor : tensors) {
    if (tensor.copied != nullptr) {
      writer.write(tensor.copied->data);
    } else if (tensor.grouped) {
      write_rounded(writer, *tensor.grouped, dtype);
    } else if (tensor.layers.empty()) {
      write_rounded(writer, tensor.value, dtype);
    } else {
      write_layers(writer, tensor, dtype, student);
    }
  }
  writer.commit();
  require_replaceable(folder);  // as it is now
  keep_foreign_files(folder, output.staging());
  output.commit();
  bytes.other += writer.header_bytes();
  return bytes;
}

}  // namespace littlebit
